"""What a data folder's private mongod is known by: its port, its replica set's name, its process.

Kept in `mongod.json` beside the data and written only by whoever's mongod holds the data's lock, so two that start at
once cannot confuse it. It survives a crash of either side: a process id counts only together with the moment that
process started, so one that the system gave to another process is not believed. Losing the file loses nothing: the
port is chosen again, and the name is asked of the data.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ..errors import MongodNotStarted
from ..process.lifeline import ON_LINUX

FILE = "mongod.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One private mongod. `pid` is 0 when none runs; `owner` is the process that started it."""

    port: int
    replica_set: str
    pid: int = 0
    started: str = ""
    owner: int = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def uri(self) -> str:
        """The name of the set is part of it, so a driver refuses any other server on this port."""
        return f"mongodb://{self.address}/?replicaSet={self.replica_set}"

    def is_running(self) -> bool:
        return self.pid > 0 and self.started == process_started(self.pid) != ""

    def run_by(self, pid: int) -> Instance:
        """The same with the process that serves it from now on, started by this one."""
        return replace(self, pid=pid, started=process_started(pid), owner=os.getpid())

    def stopped(self) -> Instance:
        return replace(self, pid=0, started="", owner=0)


def new_instance() -> Instance:
    """One for an empty folder; the name is random, so no other folder's mongod is ever mistaken for it."""
    return Instance(port=free_port(), replica_set=f"tq-{secrets.token_hex(6)}")


def read_instance(data_dir: Path) -> Instance | None:
    """What the folder's file says; none when it is missing or torn.

    Raises:
        MongodNotStarted: this user may not read it.
    """
    try:
        return Instance(**json.loads((data_dir / FILE).read_text()))
    except PermissionError as error:
        raise MongodNotStarted(
            f"{error.filename} cannot be read by this user.", "Run as the user who owns it."
        ) from error
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
        return None


def write_instance(data_dir: Path, instance: Instance) -> None:
    """Replace the folder's file in one step."""
    new = data_dir / f"{FILE}.new"
    new.write_text(json.dumps(asdict(instance), indent=1) + "\n")
    new.replace(data_dir / FILE)


def free_port() -> int:
    """A port of the loopback interface that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def process_started(pid: int) -> str:
    """When a living process started, as text that no other process of that id ever has; "" when there is none."""
    return _started_by_proc(pid) if ON_LINUX else _started_by_ps(pid)


def _started_by_proc(pid: int) -> str:
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    state, ticks = after_name[0], after_name[19]  # fields 3 and 22 of proc_pid_stat(5)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return "" if state in "ZX" else f"{boot}/{ticks}"


def _started_by_ps(pid: int) -> str:
    asked = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S603, S607
    return asked.stdout.strip()
