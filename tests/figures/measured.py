"""Each figure measured: a fault, and the time until what is promised is seen."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import replica_set
from conftest import Running, Site, alive
from pymongo import MongoClient

from transqueue.mongodb.embedded import PrivateMongod

HOLDING = """
    import os, pathlib, time
    from transqueue import handler

    def hold(transaction):
        pathlib.Path(transaction.data["started"]).touch()
        time.sleep(600)

    @handler("hold", timeout_seconds=600)
    def in_handler(transaction, context):
        hold(transaction)

    @handler("hold.session", transactional=True, timeout_seconds=600)
    def in_session(transaction, context):
        context.db["Held"].insert_one({"_id": transaction.id})
        hold(transaction)

    @handler("note")
    def note(transaction, context): ...

    @handler("swift")
    def swift(transaction, context):
        with open(f"{transaction.data['started']}.{os.getppid()}", "a") as file:
            file.write(f"{time.monotonic()}\\n")
        time.sleep(0.005)
"""
LOOK_SECONDS = 0.001
LONGEST_SECONDS = 60.0
HEALTH_REQUESTS = 300
QUIET_SECONDS = 2.0
PAUSED = 5000  # more than four workers do until they hear of a pause
POST = b"POST /api/data/ HTTP/1.1\r\nHost: door\r\nContent-Type: application/json\r\n"


class Bench:
    """A mongod for all that needs but one, and a site for each measurement."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._stack, self._numbers = folder, ExitStack(), itertools.count()
        self._mongod = PrivateMongod(folder / "data")

    def __enter__(self) -> Self:
        self._uri = self._mongod.start()
        self._stack.callback(self._mongod.stop)
        self._client = self._stack.enter_context(MongoClient[dict[str, Any]](self._uri, tz_aware=True))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def killed_worker(self, times: int) -> list[float]:
        """SIGKILL to a worker in a handler, until its transaction is queued or leased again."""
        return [self._killed("hold") for _ in range(times)]

    def killed_in_session(self, times: int) -> list[float]:
        """The same in a session that has written."""
        return [self._killed("hold.session") for _ in range(times)]

    def killed_supervisor(self, times: int) -> list[float]:
        """SIGKILL to a supervisor, until none of its worker processes lives."""
        found = []
        for _ in range(times):
            with self._site() as site:
                site.configure(workers={"processes": 3, "lease_seconds": 30})
                running = site.work()
                workers = running.workers()
                assert len(workers) == 3
                running.process.kill()
                found.append(until(lambda workers=workers: not any(map(alive, workers))))
        return found

    def lost_host(self, times: int) -> list[float]:
        """SIGKILL to every process of one of two hosts at once, until its transaction is queued or leased again."""
        found = []
        for _ in range(times):
            with self._site() as site:
                site.configure(workers={"processes": 1, "lease_seconds": 5})
                id, running = self._held(site, "hold")
                site.work()
                token = site.transaction(id)["lease"]["token"]
                running.signal_all(signal.SIGKILL)
                found.append(until(lambda site=site, held=id, token=token: is_back(site, held, token)))
        return found

    def failover(self, times: int) -> list[float]:
        """SIGKILL to the primary, until the first acceptance of what was sent after it."""
        replica_set.ASK_MILLISECONDS = 3000  # a busy machine takes its time to make a set
        replicas = replica_set.ReplicaSet(self._folder / f"set{next(self._numbers)}", 3)
        try:
            replicas.start()
            client = MongoClient[dict[str, Any]](replicas.uri, tz_aware=True)
            with client, self._site(replicas.uri, client) as site:
                site.start("api")
                until(lambda: accepts(site.port))
                return [self._failed_over(replicas, site) for _ in range(times)]
        finally:
            replicas.close()

    def slow_clients(self, _times: int) -> list[float]:
        """The p99 of `/healthz` while 80 connections send nothing more."""
        with self._site() as site, ExitStack() as attack:
            site.start("api")
            until(lambda: accepts(site.port))
            for _ in range(40):
                for sent in (b"POST /api/da", POST + b"Content-Length: 500\r\n\r\n{"):
                    connection = attack.enter_context(socket.create_connection(("127.0.0.1", site.port)))
                    connection.sendall(sent)
            seconds = sorted(until(lambda: health(site.port)) for _ in range(HEALTH_REQUESTS))
        return [seconds[int(len(seconds) * 0.99)]]

    def revoked_key(self, times: int) -> list[float]:
        """The write that revokes a key in another process, from its answer until the door refuses the key."""
        found = []
        with self._site() as site:
            for _ in range(times):
                key = json.loads(said(site, "keys", "create", "ann", "--scope", "read", "--json"))
                if not found:
                    site.start("api")
                until(lambda key=key: asked(site.port, "GET", "/api/data/", key=key["key"]) == 200)
                assert site._queue.api_keys.revoke(key["id"])
                found.append(until(lambda key=key: asked(site.port, "GET", "/api/data/", key=key["key"]) == 401))
        return found

    def paused_type(self, times: int) -> list[float]:
        """A type that four workers of two hosts are busy with is paused: until the last start of its handler."""
        found = []
        for _ in range(times):
            with self._site() as site:
                site.configure(workers={"processes": 2, "lease_seconds": 30})
                hosts = [site.start("work"), site.start("work")]
                until(lambda hosts=hosts: all(len(host.events("worker.ready")) == 2 for host in hosts))
                ids = site.enqueue("swift", *[{"started": site.path("started")}] * PAUSED)
                until(lambda site=site: len(starts(site)) == 2 and min(map(len, starts(site))) > 100)
                assert site._queue.pause("swift", by="figures")
                answered = time.monotonic()
                until(lambda site=site: max(map(max, starts(site))) < time.monotonic() - QUIET_SECONDS)
                assert site.count(ids, "queued")
                found.append(max(0.0, max(map(max, starts(site))) - answered))
        return found

    def _killed(self, type: str) -> float:
        with self._site() as site:
            site.configure(workers={"processes": 1, "lease_seconds": 30})
            id, running = self._held(site, type)
            token = site.transaction(id)["lease"]["token"]
            (worker,) = running.workers()
            os.kill(worker, signal.SIGKILL)
            return until(lambda: is_back(site, id, token))

    def _held(self, site: Site, type: str) -> tuple[str, Running]:
        """A transaction in the hands of the one worker, and who runs that."""
        (id,) = site.enqueue(type, {"started": site.path("started")})
        running = site.work()
        until(lambda: site.has("started"))
        return id, running

    def _failed_over(self, replicas: replica_set.ReplicaSet, site: Site) -> float:
        until(replicas.is_well)
        until(lambda: accepts(site.port))
        primary = replicas.primary()
        assert primary
        primary.kill(down_seconds=0)
        seconds = until(lambda: accepts(site.port))
        replicas.watch()
        return seconds

    @contextmanager
    def _site(self, uri: str = "", client: Any = None) -> Iterator[Site]:
        folder = self._folder / f"site{next(self._numbers)}"
        folder.mkdir()
        site = Site(folder, uri or self._uri, client or self._client, until)
        site.plugin("holding", HOLDING)
        site.configure(default_type="note")
        try:
            yield site
        finally:
            site.close()


def until(condition: Callable[[], Any], timeout: float = LONGEST_SECONDS, message: str = "") -> float:
    """The seconds until something is so."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > timeout:
            raise TimeoutError(message or "it did not become so")
        time.sleep(LOOK_SECONDS)
    return time.monotonic() - began


def starts(site: Site) -> list[list[float]]:
    """When each handler started, by the supervisor whose worker it ran in."""
    return [[float(line) for line in file.read_text().split()] for file in site.folder.glob("started.*")]


def is_back(site: Site, id: str, token: str) -> bool:
    """Whether a transaction is queued again, or has been leased anew."""
    lease = site.transaction(id).get("lease")
    return lease is None or lease["token"] != token


def accepts(port: int) -> bool:
    """Whether a submission is accepted now."""
    return asked(port, "POST", "/api/data/", {"type": "note", "data": {}}) == 200


def health(port: int) -> bool:
    """Whether the door says that it is alive."""
    return asked(port, "GET", "/healthz") == 200


def asked(port: int, method: str, path: str, body: Any = None, key: str = "") -> int:
    """The status of an answer; 0 where there is none."""
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def said(site: Site, *arguments: str) -> str:
    """What a command says."""
    running = site.start(*arguments)
    assert running.ends(60) == 0, running.told()
    return running.out
