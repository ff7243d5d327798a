"""The commands as people run them: a folder with its config.yaml, a private mongod, real processes, real signals."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import psutil
import pytest
import urllib3
from pymongo import MongoClient
from pymongo.database import Database

from transqueue.config.default import DEFAULT_CONFIG
from transqueue.mongodb.embedded import attach

COMMAND = Path(sys.executable).parent / "transqueue"
PURCHASES = Path(__file__).parent.parent / "data" / "cdnow_sample.ndjson"
READY_SECONDS = 60
RUN_SECONDS = 90

WaitUntil = Callable[..., Any]


class Place:
    """A folder with a config.yaml like the one that `init` writes, with a port that was free a moment ago."""

    def __init__(self, folder: Path, wait_until: WaitUntil, *, uri: str = "", database: str = "transqueue") -> None:
        self.folder, self.wait_until = folder, wait_until
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        folder.mkdir(parents=True, exist_ok=True)
        self.config = folder / "config.yaml"
        self.config.write_text(DEFAULT_CONFIG)
        self.change("port: 5000", f"port: {self.port}")
        self.change('uri: ""', f'uri: "{uri}"')
        self.change("database: transqueue", f"database: {database}")

    def change(self, old: str, new: str) -> None:
        """Replace a part of config.yaml that must be there."""
        text = self.config.read_text()
        assert old in text
        self.config.write_text(text.replace(old, new))

    def run(self, *arguments: str, command: Path = COMMAND, **more: str) -> Ran:
        """Run a command in the folder until it ends."""
        done = subprocess.run(
            [str(command), *arguments],
            cwd=self.folder,
            env=environ(more),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str, command: Path = COMMAND) -> Running:
        """Start a command in the folder, in a process group of its own as a terminal's foreground job is."""
        return Running(self, arguments, command)

    def on_terminal(self, *arguments: str, terminal: int) -> subprocess.Popen[bytes]:
        """Start a command whose input and output are a terminal, on which Ctrl-C is heard."""
        more = environ({"TERM": "xterm", "COLUMNS": "120", "LINES": "50"})
        return subprocess.Popen(
            [str(COMMAND), *arguments],
            cwd=self.folder,
            env=more,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            preexec_fn=_hear_ctrl_c,  # noqa: PLW1509
        )

    def up(self, *arguments: str, command: Path = COMMAND) -> Running:
        """`transqueue up`, ready."""
        running = self.start("up", *arguments, command=command)
        running.until_said("Try:")
        return running

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """One request to the door, sent once; a `body` in bytes goes as it is."""
        raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = urllib3.request(
            method,
            self.url + path,
            body=raw,
            headers={"Content-Type": "application/json", **named},
            retries=False,
            timeout=40,
        )
        return answer.status, answer.data if headers.get("Accept") == "raw" else answer.json()

    def accepts(self) -> bool:
        """Whether the door accepts now."""
        try:
            return self.ask("GET", "/readyz")[0] == 200
        except (urllib3.exceptions.HTTPError, ValueError):
            return False

    @contextlib.contextmanager
    def database(self) -> Iterator[Database[dict[str, Any]]]:
        """The database of the running private mongod."""
        uri = attach(self.folder / ".transqueue")
        with MongoClient[dict[str, Any]](uri, tz_aware=True) as client:
            yield client["transqueue"]


class Ran:
    """A command that ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    def __repr__(self) -> str:
        return f"exit code {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"

    @property
    def json(self) -> Any:
        assert self.out, repr(self)
        return json.loads(self.out)


class Running:
    """A command that runs; everything it started is killed at the end of a `with`."""

    def __init__(self, place: Place, arguments: tuple[str, ...], command: Path) -> None:
        self.place = place
        self._out, self._err = (place.folder / f"{'-'.join(arguments)}.{name}" for name in ("out", "err"))
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [str(command), *arguments],
                cwd=place.folder,
                env=environ({}),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        self._known: set[psutil.Process] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.family()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for one in self.left():
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    def __repr__(self) -> str:
        return f"exit code {self.process.poll()}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"

    def until_said(self, text: str) -> None:
        """Wait until `text` is on stdout."""
        self.place.wait_until(
            lambda: text in self.out or self.process.poll() is not None, READY_SECONDS, f"{text!r} is said\n{self}"
        )
        assert text in self.out, repr(self)

    def family(self) -> set[psutil.Process]:
        """Every process that it started, and those started in turn; once seen, they stay known."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self._known |= set(psutil.Process(self.process.pid).children(recursive=True))
        return self._known

    def left(self) -> list[psutil.Process]:
        """Those of the family, as far as it was seen, that still live."""
        return [one for one in self._known if _lives(one)]

    def interrupt(self) -> int:
        """Ctrl-C: SIGINT to the whole process group. The exit code."""
        self.family()
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(40)

    def events(self, name: str) -> list[dict[str, Any]]:
        """The events of that name in its log so far."""
        lines = [json.loads(line) for line in self.err.splitlines() if re.match(r'\{".*\}$', line)]
        return [line for line in lines if line["event"] == name]


def environ(more: Mapping[str, str]) -> dict[str, str]:
    """The environment without what would change which configuration or terminal is meant."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("TRANSQUEUE_") and name != "COLUMNS"
    }
    return {**kept, **more}


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.fixture(scope="session")
def make_place(tmp_path_factory: pytest.TempPathFactory, wait_until: WaitUntil) -> Callable[..., Place]:
    """The function `make_place(uri="", database="transqueue")`: a new folder with its configuration."""
    return lambda **options: Place(tmp_path_factory.mktemp("place"), wait_until, **options)


@pytest.fixture
def place(make_place: Callable[..., Place]) -> Place:
    """A folder of this test's own, in which nothing runs yet."""
    return make_place()


@pytest.fixture(scope="session")
def running(make_place: Callable[..., Place]) -> Iterator[Running]:
    """One `transqueue up` that tests share; they leave it as it is."""
    with make_place().up() as running:
        yield running
        assert running.process.poll() is None, repr(running)


@pytest.fixture(scope="session")
def purchases() -> Path:
    """6,919 real purchases, one body a line; their sum is 244091.94."""
    return PURCHASES


def _hear_ctrl_c() -> None:
    """Whoever runs the tests in the background has them ignore it, and what they start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
