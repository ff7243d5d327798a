"""Real processes for acceptance tests: a site with throw-away plugins, and commands started on it."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from pymongo import MongoClient

from transqueue.mongodb import connect
from transqueue.transaction import LANES, Transaction, TransactionIds

COMMAND = Path(sys.executable).parent / "transqueue"
ENDED = ("done", "rejected", "dead", "cancelled")

Wait = Callable[..., Any]

GOOD = """
    from transqueue import handler

    @handler("good")
    def good(transaction, context):
        return "good"
"""
STUCK = """
    import os, time
    from transqueue import handler, hookimpl

    @hookimpl
    def transqueue_startup(role):
        if role == {role!r}:
            {body}

    @handler({name!r})
    def stuck(transaction, context):
        return "never"
"""


@pytest.fixture(scope="session")
def make_site(
    tmp_path_factory: pytest.TempPathFactory,
    mongo_uri: str,
    mongo_client: MongoClient[dict[str, Any]],
    wait_until: Wait,
) -> Callable[[], Site]:
    """The function `make_site()`: a new site on a database of its own. Close it when done."""
    return lambda: Site(tmp_path_factory.mktemp("site"), mongo_uri, mongo_client, wait_until)


@pytest.fixture
def site(make_site: Callable[[], Site]) -> Iterator[Site]:
    """A site for one test; what was started on it is killed at the end."""
    made = make_site()
    yield made
    made.close()


class Site:
    """A folder with config.yaml, installed plugins that nobody else sees, and a database."""

    def __init__(self, folder: Path, uri: str, client: MongoClient[dict[str, Any]], wait_until: Wait) -> None:
        self.folder, self.packages = folder, folder / "packages"
        self.packages.mkdir()
        self._name, self._client, self.wait_until = f"test_{uuid.uuid4().hex[:12]}", client, wait_until
        self.database = client[self._name]
        self.port = _free_port()
        self._queue = connect(uri, self._name)
        self._ids = TransactionIds()
        self._started: list[Running] = []
        self._config: dict[str, Any] = {
            "mongodb": {"uri": uri, "database": self._name},
            "api": {"port": self.port},
            "workers": {"processes": 1, "lease_seconds": 5, "stop_seconds": 10},
            "plugins": {},
        }
        self.configure()

    def close(self) -> None:
        for running in self._started:
            running.kill()
        self._queue.close()
        self._client.drop_database(self._name)

    # What is configured and installed

    def configure(self, **sections: Any) -> None:
        """Change sections of config.yaml: mappings are merged, other values replaced."""
        for name, value in sections.items():
            old = self._config.get(name)
            self._config[name] = {**old, **value} if isinstance(old, dict) else value
        (self.folder / "config.yaml").write_text(json.dumps(self._config, indent=1))

    def enable(self, *plugins: str) -> None:
        """Enable plugins, installed or not."""
        self.configure(plugins={plugin: {"enabled": True} for plugin in plugins})

    def plugin(self, name: str, code: str) -> None:
        """Install the distribution `acme-<name>` with the plugin `name`, or replace its code, and enable it."""
        (self.packages / f"acme_{name}.py").write_text(textwrap.dedent(code))
        information = self.packages / f"acme_{name}-1.0.dist-info"
        information.mkdir(exist_ok=True)
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: acme-{name}\nVersion: 1.0\n")
        (information / "entry_points.txt").write_text(f"[transqueue.plugins]\n{name} = acme_{name}\n")
        self.enable(name)

    def good_plugin(self, name: str = "good") -> None:
        """Install one whose only handler, of the type `good`, is well."""
        self.plugin(name, GOOD)

    def stuck_plugin(self, name: str, role: str, body: str) -> None:
        """Install one, with a handler of the type of its name, that does this when a process of this role starts."""
        self.plugin(name, STUCK.format(name=name, role=role, body=body))

    def uninstall(self, name: str) -> None:
        (self.packages / f"acme_{name}.py").unlink()
        shutil.rmtree(self.packages / f"acme_{name}-1.0.dist-info")

    # What is started

    def start(self, *arguments: str, **environ: str) -> Running:
        """Start a command on this site. It leads a process group of its own, and logs JSON."""
        running = Running(arguments, self.folder, self._environ(environ), len(self._started), self.wait_until)
        self._started.append(running)
        return running

    def work(self, **environ: str) -> Running:
        """A supervisor whose workers are ready."""
        running = self.start("work", **environ)
        running.until_ready(self._config["workers"]["processes"])
        return running

    def up(self) -> Running:
        """Everything, with the door open and the workers ready."""
        running = self.start("up")
        running.until_ready(self._config["workers"]["processes"])
        self.wait_until(self._is_open, timeout=20, message="the door opens")
        return running

    def _environ(self, more: Mapping[str, str]) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TRANSQUEUE_")}
        # No byte code is kept: code that is replaced within a second would otherwise be taken for the old one.
        return {**inherited, "PYTHONPATH": str(self.packages), "PYTHONDONTWRITEBYTECODE": "1", **more}

    # What is submitted

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any, http.client.HTTPMessage]:
        """One request to the door: status, body, headers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            sent = None if body is None else json.dumps(body)
            connection.request(method, path, sent, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, json.loads(response.read()), response.headers
        finally:
            connection.close()

    def _is_open(self) -> bool:
        try:
            return self.ask("GET", "/healthz")[0] == 200
        except OSError:
            return False

    def enqueue(
        self, type: str, *datas: Mapping[str, Any], max_attempts: int = 8, after_seconds: float = 0.0
    ) -> list[str]:
        """Put transactions into Q in one write, in this order, due so much later; their ids."""
        now = datetime.now(UTC)
        due_at = now + timedelta(seconds=after_seconds)
        made = [self._transaction(type, data, now, due_at, max_attempts) for data in datas]
        self._queue.enqueue(made)
        return [transaction.id for transaction in made]

    def _transaction(
        self, type: str, data: Mapping[str, Any], now: datetime, due_at: datetime, max_attempts: int
    ) -> Transaction:
        id = self._ids.next(now)
        return Transaction(
            id=id,
            type=type,
            data=dict(data),
            created_at=now,
            due_at=due_at,
            max_attempts=max_attempts,
            lane=int(id) % LANES,
        )

    # What became of it

    def transaction(self, id: str) -> dict[str, Any]:
        found = self.database["Q"].find_one({"_id": id})
        assert found is not None
        return found

    def transactions(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        return list(self.database["Q"].find({"_id": {"$in": list(ids)}}).sort("_id", 1))

    def count(self, ids: Sequence[str], *states: str) -> int:
        return int(self.database["Q"].count_documents({"_id": {"$in": list(ids)}, "state": {"$in": states}}))

    def until(self, ids: Sequence[str], *states: str, timeout: float = 20, hurry: bool = False) -> list[dict[str, Any]]:
        """Wait until all are in one of these states (ended, if none is named). `hurry`: no retry waits its time."""

        def all_there() -> bool:
            if hurry:
                self.database["Q"].update_many(
                    {"state": "queued"}, {"$set": {"due_at": datetime(2020, 1, 1, tzinfo=UTC)}}
                )
            return self.count(ids, *(states or ENDED)) == len(ids)

        try:
            self.wait_until(all_there, timeout=timeout, message=f"all are {' or '.join(states or ENDED)}")
        except BaseException:
            for running in self._started:
                print(running.told())
            raise
        return self.transactions(ids)

    def has(self, file: str) -> bool:
        """Whether a handler has left this file, by the absolute path that `path` gives."""
        return (self.folder / file).exists()

    def path(self, file: str) -> str:
        return str(self.folder / file)


class Running:
    """A started command: what it logged, its workers, and its end."""

    def __init__(
        self, arguments: Sequence[str], folder: Path, environ: Mapping[str, str], number: int, wait_until: Wait
    ) -> None:
        self.arguments, self.wait_until = arguments, wait_until
        self._out, self._log = folder / f"{number}.out", folder / f"{number}.log"
        with self._out.open("wb") as out, self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(COMMAND), *arguments],
                cwd=folder,
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                start_new_session=True,
            )

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def log(self) -> str:
        return self._log.read_text()

    def told(self) -> str:
        return f"--- {' '.join(self.arguments)}\n{self.out}\n{self.log}"

    def events(self, name: str) -> list[dict[str, Any]]:
        """The events of this name that were logged so far, of all its processes."""
        lines = [json.loads(line) for line in self.log.splitlines() if line.startswith("{") and line.endswith("}")]
        return [line for line in lines if line["event"] == name]

    def until_ready(self, workers: int = 1) -> None:
        """Wait until so many workers have become ready since the start."""
        self.wait_until(
            lambda: len(self.events("worker.ready")) >= workers or self.process.poll() is not None,
            timeout=30,
            message="the workers are ready",
        )
        assert self.process.poll() is None, self.told()

    def workers(self) -> list[int]:
        """The pids of its worker processes that are alive."""
        return [event["pid"] for event in self.events("worker.spawned") if alive(event["pid"])]

    def members(self) -> list[int]:
        """The pids of all living processes of its group."""
        return [pid for pid in psutil.pids() if _group(pid) == self.process.pid and alive(pid)]

    def leaves_nothing(self, timeout: float = 2) -> None:
        """Wait until no process of its group lives, and fail if one stays."""
        self.wait_until(lambda: not self.members(), timeout=timeout, message="no process is left")

    def signal_all(self, number: signal.Signals) -> None:
        os.killpg(self.process.pid, number)

    def stop(self, timeout: float = 20) -> int:
        """Ask it to stop; its exit code."""
        self.process.terminate()
        return self.ends(timeout)

    def ends(self, timeout: float = 20) -> int:
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            pytest.fail(f"it did not end within {timeout:g} s\n{self.told()}")

    def kill(self) -> None:
        """End every process of its group, whatever state it is in."""
        for pid in self.members():
            os.kill(pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait(10)


def alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
