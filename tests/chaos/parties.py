"""The processes of the product in a run: two supervisors with their workers, and one API, kept alive by restarts.

Start from one thread that lives as long as the run: each dies with the thread that started it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import chaos_windows as windows

from transqueue.mongodb.guard import spawn
from transqueue.mongodb.instance import free_port

COMMAND = Path(sys.executable).parent / "transqueue"
PACKAGES = Path(__file__).parent / "packages"
DATABASE = "chaos"
SUPERVISORS, WORKERS_EACH = 2, 2
LEASE_SECONDS = 5
FAILED_AGAIN_SECONDS = 0.5
QUICK = {"backoff_seconds": [0.2, 3]}


class Parties:
    """Everything that is started of the product."""

    def __init__(self, folder: Path, uri: str, *, alarm: bool, mutant: str = "") -> None:
        self._folder, self.port = folder, free_port()
        self._chaos = {"CHAOS_WITHOUT_ALARM": "" if alarm else "1", "CHAOS_MUTANT": mutant}
        _install_probe(folder)
        (folder / "windows").mkdir()
        configs = [self._configure(f"host{number}", uri) for number in range(SUPERVISORS)]
        self.supervisors = [Party("work", config, self._environ()) for config in configs]
        self.api = Party("api", configs[0], self._environ())
        self.all = [*self.supervisors, self.api]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        for party in self.all:
            party.start()

    def watch(self) -> None:
        """Start again what has ended."""
        for party in self.all:
            party.watch()

    def workers(self) -> list[Path]:
        """The window files of the living worker processes."""
        parents, living = {party.pid for party in self.supervisors}, []
        for file in (self._folder / "windows").iterdir():
            state = state_of(int(file.name))
            if state is None:
                file.unlink()  # its process id may be used again
            elif state[1] in parents:
                living.append(file)
        return living

    def window_file(self, pid: int) -> Path:
        """Where a worker process tells its window."""
        return self._folder / "windows" / str(pid)

    def stop(self, seconds: float) -> list[str]:
        """Ask all to end in good order; what did not."""
        for party in self.all:
            party.signal(signal.SIGTERM)
        limit = time.monotonic() + seconds
        return [party.name for party in self.all if party.ends(limit - time.monotonic()) != 0]

    def close(self) -> None:
        for party in self.all:
            party.signal(signal.SIGKILL)
            party.ends(10)

    def events(self) -> Iterator[dict[str, Any]]:
        """What they have logged."""
        for party in self.all:
            yield from party.events()

    def tracebacks(self) -> list[str]:
        """Errors that nobody caught, with the log that has them."""
        return [f"{party.log}: {line}" for party in self.all for line in party.uncaught()]

    def _configure(self, host: str, uri: str) -> Path:
        file = self._folder / host / "config.yaml"
        file.parent.mkdir()
        config = {
            "mongodb": {"uri": uri, "database": DATABASE},
            "api": {"port": self.port},
            "workers": {"processes": WORKERS_EACH, "lease_seconds": LEASE_SECONDS, "stop_seconds": 10},
            "plugins": {"ledger": {"handlers": {"deposit": QUICK, "transfer": QUICK}}, "probe": {"enabled": True}},
        }
        file.write_text(json.dumps(config, indent=1))
        return file

    def _environ(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TRANSQUEUE_")}
        path = os.pathsep.join(filter(None, [str(self._folder / "packages"), kept.get("PYTHONPATH")]))
        return kept | {"PYTHONPATH": path, "CHAOS_FOLDER": str(self._folder), **self._chaos}


class Party:
    """One command, started again whenever it ends."""

    def __init__(self, command: str, config: Path, environ: dict[str, str]) -> None:
        self.name = f"{command} of {config.parent.name}"
        self.log = config.parent / f"{command}.log"
        self._arguments, self._environ = [str(COMMAND), "--config", str(config), command], environ
        self._process: subprocess.Popen[bytes] | None = None
        self._not_before = 0.0
        self._killed = False
        self.ended_by_itself: list[int] = []  # exit codes

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    def start(self) -> None:
        self._killed = False
        with self.log.open("ab") as log:
            self._process = spawn(self._arguments, self._environ, log.fileno())

    def kill(self, *, down_seconds: float) -> None:
        """End it now; it comes back after a while."""
        self._killed, self._not_before = True, time.monotonic() + down_seconds
        self.signal(signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(number)

    def spawned(self) -> list[int]:
        """The Python processes behind it, without the one that only keeps track of resources."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        pids = children.read_text().split() if children.exists() else []
        return [int(pid) for pid in pids if "spawn_main" in _command_line(pid)]

    def watch(self) -> None:
        """Start it again when it has ended and its time has come."""
        if self._process is None or self._process.poll() is None:
            return
        if not self._killed:
            self.ended_by_itself.append(self._process.returncode)
            self._killed, self._not_before = True, time.monotonic() + FAILED_AGAIN_SECONDS
        if time.monotonic() >= self._not_before:
            self.start()

    def ends(self, seconds: float) -> int | None:
        """Its exit code, if it ends in time."""
        if self._process is None:
            return 0
        try:
            return self._process.wait(max(seconds, 0))
        except subprocess.TimeoutExpired:
            return None

    def events(self) -> Iterator[dict[str, Any]]:
        for line in self._lines():
            if line.startswith('{"') and line.endswith("}"):
                try:
                    yield json.loads(line)
                except ValueError:  # a line that a kill has torn, with another behind it
                    continue

    def uncaught(self) -> list[str]:
        """The last line of each traceback that is no event."""
        found, inside = [], False
        for line in self._lines():
            if line.startswith("Traceback"):
                inside = True
            elif inside and line[:1] not in {" ", ""}:
                found.append(line[:200])
                inside = False
        return found

    def _lines(self) -> Sequence[str]:
        return self.log.read_text(errors="replace").splitlines() if self.log.exists() else []


def state_of(pid: int) -> tuple[str, int] | None:
    """The state letter of a living process and its parent."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return (fields[0], int(fields[1])) if fields[0] not in "ZX" else None


def _command_line(pid: str) -> str:
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_text()
    return ""


def window_of(file: Path) -> str:
    """The window that a worker process is in; none when it has ended."""
    try:
        return windows.read(file)
    except FileNotFoundError:
        return ""


def _install_probe(folder: Path) -> None:
    packages = folder / "packages"
    shutil.copytree(PACKAGES, packages, ignore=shutil.ignore_patterns("__pycache__"))
    information = packages / "acme_probe-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-probe\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[transqueue.plugins]\nprobe = acme_probe\n")
