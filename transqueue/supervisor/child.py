"""A worker process as its supervisor sees it: spawned, ready, overdue, dead, and what it died of."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import uuid
from collections.abc import Mapping
from multiprocessing.connection import Connection as Link
from multiprocessing.process import BaseProcess
from typing import Any

from ..admin.report import WorkerReport, resident_bytes
from ..config import Config
from ..errors import PluginBroken
from ..process.marker import Marker
from ..process.signals import interrupts_held
from ..queue import Casualty
from ..worker.process import EXIT_BOOT_FAILED, EXIT_TRACK_LOST, Assignment, Starting, alarm_moment, work

TERMINATE_GRACE_SECONDS = 2.0
MIB = 2**20
DEAF = "did not take in that its lease was renewed"
LEAVE_SECONDS = 30.0  # for a worker whose handler ended in the grace: to settle, shut down and end

_spawn = multiprocessing.get_context("spawn")


class Child:
    """One start of a worker process. Spawn it from the main thread: its death signal follows that thread.

    Args:
        worker: its id, new at each start.
        processes: what makes processes and pipes, as `multiprocessing`'s contexts do.
    """

    def __init__(
        self,
        config: Config,
        uri: str,
        slot: int,
        *,
        now: float,
        log_json: bool,
        worker: str | None = None,
        processes: Any = None,
    ) -> None:
        self.worker = worker or uuid.uuid4().hex
        self.slot, self.spawned_at, self._lease_seconds = slot, now, config.workers.lease_seconds
        self.is_ready = False
        self.broken: Mapping[str, str] = {}  # why, by the plugins that do not work in it; known once it is ready
        self.starting = Starting("", "", now)  # what it said last before it was ready
        self.refused: PluginBroken | None = None  # for which plugin it did not start
        # When the kernel ends it, if it takes in what was sent. Its own first one is no earlier than this.
        self.alarm_at = alarm_moment(now, config.workers.lease_seconds)
        self._untaken_since = now  # when the first was sent of those that it has not taken in
        self._marker = Marker()
        self._overdue: tuple[int, float, float] | None = None  # turn, since when, timeout
        self._swollen: tuple[int, str] | None = None  # turn, what is wrong
        self._stopping = False
        processes = processes or _spawn
        self._link: Link
        self._link, theirs = processes.Pipe()
        assignment = Assignment(config, uri, self.worker, slot, os.getpid(), self._marker, theirs, log_json)
        self.process: BaseProcess = processes.Process(target=work, args=(assignment,), name=f"worker-{slot}")
        with interrupts_held():
            self.process.start()
        theirs.close()

    @property
    def link(self) -> Link:
        """Readable when the child says something, or has ended."""
        return self._link

    def listen(self) -> bool:
        """Take in what the child said; whether it became ready by it."""
        with contextlib.suppress(EOFError, OSError):
            while self._link.poll():
                if self._hears(self._link.recv()):
                    return True
        return False

    def _hears(self, said: Any) -> bool:
        if isinstance(said, Starting):
            self.starting = said
        elif isinstance(said, PluginBroken):
            self.refused = said
        else:
            self.broken = said if isinstance(said, dict) else {}
            self.is_ready = True
            return True
        return False

    def renewed(self, alarm_at: float, *, now: float) -> None:
        """Its lease was renewed: it may live until `alarm_at`. Safe from another thread."""
        if self._marker.alarm_at >= self.alarm_at:  # it has taken in all that was sent so far
            self._untaken_since = now
        self.alarm_at = alarm_at
        with contextlib.suppress(OSError):
            self._link.send(alarm_at)

    def stop(self) -> None:
        """Ask it to finish what it runs, give the rest back, and end."""
        self._stopping = True
        self.process.terminate()

    def kill(self) -> None:
        """End it now."""
        self.process.kill()

    def check_deadline(self, now: float) -> bool:
        """End a handler that overran its limit: ask first, then kill. Whether it was noticed just now."""
        mark = self._marker.read()
        if self._overdue:
            turn, since, _ = self._overdue
            if now - since > (TERMINATE_GRACE_SECONDS if mark.turn == turn else LEAVE_SECONDS):
                self.process.kill()
        if mark.doing == "idle" or now <= mark.deadline or (self._overdue and self._overdue[0] == mark.turn):
            return False
        self._overdue = (mark.turn, now, mark.timeout_seconds)
        self.process.terminate()
        return True

    def check_memory(self, mib: int) -> bool:
        """End a worker that holds more memory than `mib` (0: any). Whether it was noticed just now.

        While something runs it may be growing fast, so it is killed, which is charged to what ran; else it is asked.
        """
        if not mib or self._swollen or (held := resident_bytes(self.process.pid)) <= mib * MIB:
            return False
        mark = self._marker.read()
        self._swollen = (mark.turn, f"its worker held {held // MIB} MiB of memory, more than workers.memory_mib: {mib}")
        if mark.doing == "idle":
            self.process.terminate()
        else:
            self.process.kill()
        return True

    @property
    def running(self) -> str | None:
        """The id of the transaction that it is running."""
        return self._marker.read().id

    def casualty(self, now: float) -> Casualty:
        """After its death: what it was doing, and whom to charge."""
        mark = self._marker.read()
        if self._by_alarm(now) and not self._deaf_seconds:
            return Casualty(ending="its lease could not be renewed")
        if self._stopping:
            return Casualty(ending=self.ending)
        reason, group = self._reason(mark.turn, now), mark.doing == "group"
        ending = self._overran(mark.turn) or (DEAF if self._by_alarm(now) else self.ending)
        return Casualty(running=mark.id, group=group, reason=reason, ending=ending)

    def report(self, now: float) -> WorkerReport:
        """What can be told of it without asking it."""
        mark = self._marker.read()
        seconds = max(0.0, now - mark.deadline + mark.timeout_seconds) if mark.doing == "running" else None
        memory = resident_bytes(self.process.pid)
        return WorkerReport(doing=mark.doing, transaction=mark.id, seconds=seconds, memory_bytes=memory)

    @property
    def ending(self) -> str:
        """How the process ended, in words."""
        code = self.process.exitcode or 0
        if code < 0:
            with contextlib.suppress(ValueError):
                return f"killed by {signal.Signals(-code).name}"
        return {EXIT_BOOT_FAILED: "it could not start", EXIT_TRACK_LOST: "it lost track"}.get(code, f"exit code {code}")

    def close(self) -> None:
        """Forget the dead process."""
        self.process.join()
        self._link.close()

    def _reason(self, turn: int, now: float) -> str:
        if self._by_alarm(now) and not self._overran(turn):
            return f"its worker {DEAF} for {self._deaf_seconds:.0f} s, while running it, and was killed by its alarm"
        return self._overran(turn) or f"its worker died while running it ({self.ending})"

    def _overran(self, turn: int) -> str | None:
        if self._swollen and self._swollen[0] == turn:
            return self._swollen[1]
        if self._overdue and self._overdue[0] == turn:
            return f"its handler did not end within {self._overdue[2]:g} s; the worker was killed"
        return None

    def _by_alarm(self, now: float) -> bool:
        """Whether the kernel killed it at the moment that it had set: perhaps an earlier one than was sent last."""
        return self.process.exitcode == -signal.SIGKILL and now >= self._alarm_set

    @property
    def _alarm_set(self) -> float:
        return self._marker.alarm_at or self.alarm_at

    @property
    def _deaf_seconds(self) -> float:
        """For how long before its alarm it had left renewals lying, where that was most of a lease; else 0.

        Its lease was renewed late, and a little too late for it to hear: that is the database's doing. But one that
        could have heard in good time was stopped, or its handler let nothing else run: that is charged, for it would
        happen again for ever.
        """
        left = self._alarm_set - self._untaken_since if self.alarm_at > self._alarm_set else 0.0
        return left if left > alarm_moment(0, self._lease_seconds) / 2 else 0.0
