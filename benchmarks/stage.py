"""What the parts run on: a private mongod in a temporary folder, and sites with real commands against it.

A site is a folder with a config.yaml, a database of its own, and the plugin of these measurements installed beside the
ledger, as a user installs one: a distribution with an entry point. What is started here ends with the stage.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import urllib3
from pymongo import MongoClient
from pymongo.collection import Collection

from transqueue.mongodb import connect
from transqueue.mongodb.embedded import PrivateMongod

from .backlog import USERNAME, Template

COMMAND = Path(sys.executable).parent / "transqueue"
PLUGIN = Path(__file__).parent / "bench_plugin.py"
TYPES = ("bench.noop", "bench.group", "bench.started", "deposit")
READY_SECONDS = 60.0
STOP_SECONDS = 20.0
LOOK_SECONDS = 0.02
CACHE = "cache_size=2G"  # of mongod; its private default is meant for small machines
HISTORY_SECONDS = 300  # what a mongod keeps by default; the private one keeps none

Document = dict[str, Any]


class Stage:
    """One mongod for all parts of a run."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._templates: dict[str, Template] = {}

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="transqueue-bench-"))
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self._mongod = PrivateMongod(self.folder)
        self.uri = self._stack.enter_context(_running(self._mongod))
        self.client: MongoClient[Document] = self._stack.enter_context(MongoClient(self.uri, tz_aware=True))
        self.client.admin.command("setParameter", 1, wiredTigerEngineRuntimeConfig=CACHE)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def mongod_pid(self) -> int:
        pid = self._mongod.pid
        assert pid is not None, "mongod has died"
        return pid

    @property
    def mongod_told(self) -> str:
        found = self.client.server_info()["version"]
        return f"{found}, one-node replica set, {CACHE}, writes with w: majority and j: true"

    @contextmanager
    def history(self) -> Iterator[None]:
        """Have mongod keep its past meanwhile, as one of your own does unless told otherwise."""
        try:
            self._keep_history(HISTORY_SECONDS)
            yield
        finally:
            self._keep_history(0)

    def _keep_history(self, seconds: int) -> None:
        self.client.admin.command("setParameter", 1, minSnapshotHistoryWindowInSeconds=seconds)

    @contextmanager
    def site(self, **sections: Any) -> Iterator[Site]:
        """A new site; what runs on it is ended, and its database dropped, afterwards."""
        made = Site(self, sections)
        try:
            yield made
        finally:
            made.close()

    def prepare(self, site: Site) -> None:
        """Make the indexes of a site, as the first command on it would."""
        connect(self.uri, site.name).close()

    def template(self, type: str) -> Template:
        """What the door stores for a submission of this type: taken from a real one, once."""
        if not self._templates:
            with self.site() as site:
                site.api()
                for one in TYPES:
                    site.post("/api/data/", {"type": one, "data": {"username": USERNAME, "value": 150.0}})
                self._templates = {document["type"]: Template(document) for document in site.q.find()}
        return self._templates[type]


class Site:
    """A folder, a database, and the commands that run on them."""

    def __init__(self, stage: Stage, sections: Mapping[str, Any]) -> None:
        self.stage, self.name = stage, f"bench_{uuid.uuid4().hex[:8]}"
        self.folder = stage.folder / self.name
        self.port = _free_port()
        self._started: list[Running] = []
        self._http = urllib3.PoolManager(timeout=60.0, retries=False)
        _install(self.folder / "packages")
        config = {
            "mongodb": {"uri": stage.uri, "database": self.name},
            "api": {"port": self.port},
            "workers": {"processes": 2},
            "plugins": {"bench": {"enabled": True}, "ledger": {"enabled": True}},
        }
        merged = {name: config.get(name, {}) | sections.get(name, {}) for name in {**config, **sections}}
        (self.folder / "config.yaml").write_text(json.dumps(merged))

    @property
    def q(self) -> Collection[Document]:
        return self.stage.client[self.name]["Q"]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def api(self) -> Running:
        """The door, open."""
        running = self.start("api")
        running.until(lambda: self.answers("/readyz", 200), "the door opens")
        return running

    def work(self) -> Running:
        """A supervisor with two workers that are ready."""
        running = self.start("work")
        running.until(lambda: len(running.events("worker.ready")) >= 2, "the workers are ready")
        return running

    def start(self, *arguments: str) -> Running:
        """A command of TransQueue."""
        return self.run((str(COMMAND), *arguments), {"PYTHONPATH": str(self.folder / "packages")})

    def run(self, command: Sequence[str], environ: Mapping[str, str]) -> Running:
        """Any command, until the site is closed."""
        running = Running(command, self.folder, environ, number=len(self._started))
        self._started.append(running)
        return running

    def post(self, path: str, body: Any) -> dict[str, Any]:
        """What the door answers to a body that it accepts."""
        headers = {"Content-Type": "application/json"}
        response = self._http.request("POST", self.url + path, body=json.dumps(body), headers=headers)
        assert response.status == 200, response.data
        answered: dict[str, Any] = response.json()
        return answered

    def close(self) -> None:
        for running in self._started:
            running.stop()
        self.stage.client.drop_database(self.name)

    def answers(self, path: str, *statuses: int) -> bool:
        """Whether something answers there, with one of these statuses if any are named."""
        try:
            status = self._http.request("GET", self.url + path).status
        except urllib3.exceptions.HTTPError:
            return False
        return not statuses or status in statuses


class Running:
    """A started command, in a process group of its own; its log is JSON, a line an event."""

    def __init__(self, command: Sequence[str], folder: Path, environ: Mapping[str, str], *, number: int) -> None:
        self.command, self._log = command, folder / f"{number}.log"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TRANSQUEUE_")}
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env={**inherited, **environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = (line for line in self._log.read_text().splitlines() if f'"{name}"' in line)
        return [json.loads(line) for line in lines if line.startswith("{")]

    def moments(self, name: str) -> list[datetime]:
        """When the events of this name were logged."""
        return [datetime.fromisoformat(event["timestamp"]).astimezone(UTC) for event in self.events(name)]

    @property
    def worker_pids(self) -> list[int]:
        return [event["pid"] for event in self.events("worker.spawned")]

    def until(self, condition: Callable[[], bool], what: str) -> None:
        limit = time.monotonic() + READY_SECONDS
        while not condition():
            if self.process.poll() is not None or time.monotonic() > limit:
                raise RuntimeError(f"{self.command}: not so: {what}\n{self._log.read_text()[-4000:]}")
            time.sleep(LOOK_SECONDS)

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@contextmanager
def _running(mongod: PrivateMongod) -> Iterator[str]:
    try:
        yield mongod.start()
    finally:
        mongod.stop()


def _install(packages: Path) -> None:
    """The distribution `transqueue-bench` with the plugin `bench`."""
    information = packages / "transqueue_bench-1.0.dist-info"
    information.mkdir(parents=True)
    shutil.copy(PLUGIN, packages)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: transqueue-bench\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[transqueue.plugins]\nbench = bench_plugin\n")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
