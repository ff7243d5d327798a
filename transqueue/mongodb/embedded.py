"""The private mongod: one node on loopback, for one machine and for tests, not for production.

It is a replica set of one, with a random name per data folder. It dies with the thread that started it, by the
kernel's hand on Linux (elsewhere by a guard process, untested); a crash of either loses nothing that was
acknowledged, and the next start recovers the data and finds another port if its own is taken. It has a session of its
own, so Ctrl-C reaches only its parent, which stops it last.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from ..events import Events
from ..process.lifeline import ON_LINUX
from .binary import find_mongod
from .guard import release_guard, spawn, spawn_guard
from .instance import Instance, free_port, new_instance, read_instance, write_instance
from .mongod_failures import CANNOT_EXECUTE, NOT_FOUND, PORT_TAKEN, explain_failure, explain_silence, folder_in_use
from .single_node import SingleNode

READY_SECONDS = 60.0
STOP_SECONDS = 20.0
TURN_SECONDS = 0.02
OTHER_PORTS_TRIED = 10

LOG_BYTES = 16 * 2**20  # a longer one is set aside at the next start; one old one is kept
TAIL_BYTES = 256 * 2**10  # more than one backtrace


def attach(data_dir: Path) -> str | None:
    """The URI of the private mongod that runs on this folder now; none when none does.

    Raises:
        MongodNotStarted: this user may not know.
    """
    instance = read_instance(data_dir)
    return instance.uri if instance and instance.is_running() else None


class PrivateMongod:
    """A mongod on `data_dir/mongod` that lives as long as the thread that calls `start`, at most.

    Args:
        environ: where `TRANSQUEUE_MONGOD` and PATH are looked up; mongod gets it too.
        extra_arguments: appended to mongod's command line.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        environ: Mapping[str, str] = os.environ,
        monotonic: Callable[[], float] = time.monotonic,
        events: Events | None = None,
        extra_arguments: Sequence[str] = (),
        ready_seconds: float = READY_SECONDS,
    ) -> None:
        self._data_dir = data_dir.absolute()
        self._environ = environ
        self._monotonic = monotonic
        self._events = events or Events()
        self._extra_arguments = tuple(extra_arguments)
        self._ready_seconds = ready_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def pid(self) -> int | None:
        """The process id of the running mongod."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> str:
        """Start it, or start it again after it died, and return its URI once it takes writes.

        Raises:
            MongodNotStarted: with the cause and the cure.
        """
        binary = find_mongod(self._environ)
        try:
            instance = self._bring_up(binary, self._prepare())
        except OSError as error:
            raise explain_failure(1, str(error), "", binary, self._data_dir) from error
        self._events.emit("mongod.started", pid=instance.pid, port=instance.port, use="one machine, not production")
        return instance.uri

    def stop(self) -> None:
        """Let it write what it holds and end; kill it when that takes too long. Not running is fine."""
        if self._process is None:
            return
        self._end(self._process)  # the record stays: nobody takes a dead process for a running one
        self._process = None
        self._events.emit("mongod.stopped")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _prepare(self) -> Instance:
        """Make the folder, set a long log aside, and see that no other mongod is at work there."""
        if self._process:
            self._process.poll()  # one that died is reaped
        instance = read_instance(self._data_dir) or new_instance()
        if instance.is_running():
            raise folder_in_use(self._data_dir, instance.pid, instance.owner)
        self._database_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            if self._log.stat().st_size > LOG_BYTES:
                self._log.replace(self._log.with_suffix(".log.1"))
        return instance.stopped()

    def _bring_up(self, binary: Path, instance: Instance) -> Instance:
        limit = self._monotonic() + self._ready_seconds
        for _ in range(OTHER_PORTS_TRIED):
            reached = self._run_once(binary, instance, limit)
            if reached.pid:
                return reached
            instance = reached
        raise explain_failure(PORT_TAKEN, "", "", binary, self._data_dir)

    def _run_once(self, binary: Path, instance: Instance, limit: float) -> Instance:
        """One process: the instance it runs, or the one to try instead, with another port or the data's own name."""
        with tempfile.TemporaryFile() as output:
            process = self._spawn(binary, instance, output.fileno())
            try:
                reached = self._until_ready(process, instance.run_by(process.pid), limit)
            except BaseException:
                self._end(process)
                raise
            if reached is None or reached.pid == 0:
                self._end(process)
            output.seek(0)
            said = output.read().decode(errors="replace")
        return reached or self._after_its_end(process.returncode, said, binary, instance)

    def _spawn(self, binary: Path, instance: Instance, output: int) -> subprocess.Popen[bytes]:
        self._log_start = self._log.stat().st_size if self._log.exists() else 0
        try:
            self._process = spawn([str(binary), *self._arguments(instance)], self._environ, output)
        except OSError as error:
            returncode = NOT_FOUND if isinstance(error, FileNotFoundError) else CANNOT_EXECUTE
            raise explain_failure(returncode, str(error), "", binary, self._data_dir) from error
        self._guard = None if ON_LINUX else spawn_guard(self._process.pid)
        return self._process

    def _arguments(self, instance: Instance) -> list[str]:
        return [
            *("--replSet", instance.replica_set),
            *("--bind_ip", "127.0.0.1", "--port", str(instance.port), "--nounixsocket"),
            *("--dbpath", str(self._database_folder)),
            *("--logpath", str(self._log), "--logappend", "--quiet"),
            *("--wiredTigerCacheSizeGB", "0.5", "--oplogSize", "256"),
            *("--wiredTigerEngineConfigString", "log=(file_max=4MB,prealloc=false)"),  # 5 MB of disk instead of 300
            *("--networkMessageCompressors", "disabled"),  # CVE-2025-14847 is reached through zlib
            "--noscripting",
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
            *("--setParameter", "transactionLifetimeLimitSeconds=10"),
            *("--setParameter", "minSnapshotHistoryWindowInSeconds=0"),  # a fifth faster, and no slower in long drains
            *self._extra_arguments,
        ]

    def _until_ready(self, process: subprocess.Popen[bytes], instance: Instance, limit: float) -> Instance | None:
        """The instance once it takes writes, or the one to try instead, not running; none when the process ended."""
        while not _listens(instance.port):
            if not self._wait(process, limit):
                return None
        with SingleNode(instance) as node:
            while not node.is_ours():
                if not self._wait(process, limit):
                    return None
            return self._until_primary(node, process, instance, limit)

    def _until_primary(
        self, node: SingleNode, process: subprocess.Popen[bytes], instance: Instance, limit: float
    ) -> Instance | None:
        name = node.name_in_data()
        if name not in {None, instance.replica_set}:
            return replace(instance.stopped(), replica_set=name)
        write_instance(self._data_dir, instance)  # before the name is written into the data
        while not node.takes_writes():
            if not self._wait(process, limit):
                return None
        return instance

    def _wait(self, process: subprocess.Popen[bytes], limit: float) -> bool:
        """Wait a turn; false when the process has ended."""
        if self._monotonic() > limit:
            raise explain_silence(self._ready_seconds, self._log_tail(), self._data_dir)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(TURN_SECONDS)
            return False
        return True

    def _after_its_end(self, returncode: int, output: str, binary: Path, instance: Instance) -> Instance:
        if returncode != PORT_TAKEN:
            raise explain_failure(returncode, output, self._log_tail(), binary, self._data_dir)
        other = replace(instance, port=free_port())
        self._events.emit("mongod.port_changed", taken=instance.port, port=other.port)
        return other

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._guard:
            release_guard(self._guard)
            self._guard = None

    def _log_tail(self) -> str:
        """What this start added to the log, at most the last of it."""
        with contextlib.suppress(FileNotFoundError), self._log.open("rb") as log:
            log.seek(max(self._log_start, self._log.stat().st_size - TAIL_BYTES))
            return log.read().decode(errors="replace")
        return ""

    @property
    def _database_folder(self) -> Path:
        return self._data_dir / "mongod"

    @property
    def _log(self) -> Path:
        return self._data_dir / "mongod.log"


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
