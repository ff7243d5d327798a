"""Hosts that share a MongoDB of their own: one queue, nothing private started, and what is refused there."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from transqueue.mongodb.binary import find_mongod

DEPOSITS = 400


@pytest.fixture(scope="module")
def standalone(tmp_path_factory: pytest.TempPathFactory, wait_until: Callable[..., Any]) -> Iterator[str]:
    """The URI of a mongod that is no member of a replica set."""
    port = free_port()
    folder = tmp_path_factory.mktemp("standalone")
    command = [find_mongod(os.environ), "--dbpath", folder, "--port", str(port), "--bind_ip", "127.0.0.1"]
    with (folder / "log").open("wb") as log:
        mongod = subprocess.Popen([str(part) for part in command], stdout=log, stderr=log)
    try:
        wait_until(lambda: listens(port), timeout=30, message="the standalone mongod listens")
        yield f"mongodb://127.0.0.1:{port}/"
    finally:
        mongod.kill()
        mongod.wait()


@pytest.mark.parametrize("command", ["up", "api", "work", "stats"])
def test_a_standalone_mongod_is_refused_with_the_cure(make_place: Any, standalone: str, command: str) -> None:
    place = make_place(uri=standalone)
    refused = place.run(command)
    assert refused.code == 2, repr(refused)
    assert "this mongod is a standalone" in refused.err
    assert "--replSet" in refused.err
    assert "rs.initiate()" in refused.err
    assert "Traceback" not in refused.err
    assert not (place.folder / ".transqueue").exists()


def test_doctor_finds_that_a_standalone_mongod_will_be_refused(make_place: Any, standalone: str) -> None:
    ran = make_place(uri=standalone).run("doctor", "--json")
    assert ran.code == 1, repr(ran)
    (database,) = [one for one in ran.json["findings"] if one["check"] == "database"]
    assert database["verdict"] == "wrong"
    assert "rs.initiate()" in database["message"]


def test_an_unreachable_mongodb_is_told_in_time(make_place: Any) -> None:
    place = make_place(uri=f"mongodb://127.0.0.1:{free_port()}/?replicaSet=away")
    began = time.monotonic()
    with ExitStack() as stack:
        commands = [stack.enter_context(place.start(*words)) for words in ALL_UNREACHABLE]
        codes = [command.process.wait(60) for command in commands]
        assert codes == [3] * len(commands), commands
        assert all("could not check the database" in command.err for command in commands), commands
        assert not any("Traceback" in command.err for command in commands), commands
    assert time.monotonic() - began < 60
    assert not (place.folder / ".transqueue").exists()


ALL_UNREACHABLE = [("up",), ("api",), ("work",), ("ls",), ("ledger", "verify")]


def test_up_with_a_mongodb_of_ones_own_starts_none(make_place: Any, mongo_uri: str, mongo_database: str) -> None:
    place = make_place(uri=mongo_uri, database=mongo_database)
    with place.up() as running:
        assert "mongod" not in {process.name() for process in running.family()}
        assert f"MongoDB   {mongo_uri}" in running.out
        assert "private" not in running.out
        assert place.run("submit", "deposit", '{"username": "ann", "value": 5}', "--wait").code == 0
        assert place.run("ledger", "balance", "ann").out.strip() == "5"
        assert running.interrupt() == 0
    assert not (place.folder / ".transqueue").exists()


def test_two_hosts_share_one_queue(
    make_place: Any, mongo_uri: str, mongo_database: str, mongo_client: Any, tmp_path: Path
) -> None:
    hosts = [make_place(uri=mongo_uri, database=mongo_database) for _ in range(2)]
    for host in hosts:
        host.change("processes: 2", "processes: 1")
    with ExitStack() as stack:
        doors = [stack.enter_context(host.start("api")) for host in hosts]
        works = [stack.enter_context(host.start("work")) for host in hosts]
        for host, door, work in zip(hosts, doors, works, strict=True):
            host.wait_until(host.accepts, 30, f"the door accepts\n{door}")
            host.wait_until(lambda work=work: work.events("worker.ready"), 30, f"the worker is ready\n{work}")

        sent = [submitted_at(host, tmp_path / f"{host.port}.ndjson") for host in hosts]
        assert [told["states"] for told in sent] == [{"done": DEPOSITS}] * 2

        one, other = hosts
        assert other.ask("GET", f"/api/data/{sent[0]['ids'][0]}")[1]["data"]["state"] == "done"
        assert one.run("ledger", "verify", "--json").json["total"] == str(2 * DEPOSITS)
        workers = {worker["id"]: worker["pid"] for worker in one.ask("GET", "/api/workers")[1]["data"]["workers"]}
        worked = {workers[name] for name in mongo_client[mongo_database]["Q"].distinct("history.worker")}
        assert worked == {worker_of(work) for work in works}

        for command in (*doors, *works):
            assert command.interrupt() == 0, repr(command)
            assert "Traceback" not in command.err


def submitted_at(host: Any, file: Path) -> dict[str, Any]:
    """What became of deposits of 1, each to another account, sent to this host's door."""
    file.write_text("".join(f'{{"username": "{host.port}-{number}", "value": 1}}\n' for number in range(DEPOSITS)))
    ran = host.run("submit", "--file", str(file), "--wait", "--json")
    assert ran.code == 0, repr(ran)
    return dict(ran.json)


def worker_of(work: Any) -> int:
    """The pid of the one worker of a supervisor."""
    (spawned,) = work.events("worker.spawned")
    assert spawned["pid"] in {child.pid for child in psutil.Process(work.process.pid).children()}
    return int(spawned["pid"])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
