"""The simulated counterparts of what supervisors and workers stand on: processes, pipes, signals, events, the alarm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from transqueue.process.marker import Marker

from .hub import Hub, Process, Thread

QUIET_WAITS = 10  # at most, before a worker that would find nothing looks all the same


class Stop:
    """A stop flag of one process, as `signals.StopFlag` is.

    Args:
        is_quiet: whether whoever waits would find nothing now.
    """

    def __init__(self, hub: Hub, is_quiet: Callable[[], bool] = lambda: False) -> None:
        self._hub, self._is_quiet, self._set = hub, is_quiet, False
        self._sleeper: Thread | None = None

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        if self._sleeper:
            self._sleeper.wake()

    def wait(self, seconds: float) -> None:
        """Sleep, at least so long: hosts may be slow, and mostly are while there is nothing to find."""
        for _ in range(QUIET_WAITS):
            if self._set:
                return
            self._sleeper = self._hub.thread
            self._hub.sleep(seconds + self._hub.between(0.05, 1.2))
            self._sleeper = None
            if not self._is_quiet():
                return

    def fileno(self) -> int:
        return -1

    def clear(self) -> None: ...


class Event:
    """As `threading.Event`."""

    def __init__(self, hub: Hub) -> None:
        self._hub, self._set = hub, False
        self._sleeper: Thread | None = None

    def set(self) -> None:
        self._set = True
        if self._sleeper:
            self._sleeper.wake()
            self._sleeper = None

    def clear(self) -> None:
        self._set = False

    def wait(self, timeout: float) -> bool:
        if not self._set:
            self._sleeper = self._hub.thread
            self._hub.sleep(timeout)
            self._sleeper = None
        return self._set


class Link:
    """One end of a pipe between a supervisor and its worker."""

    def __init__(self, hear: Callable[[Any], None] | None = None) -> None:
        self.other: Link
        self.received: list[Any] = []
        self.hear = hear

    def send(self, message: Any) -> None:
        if self.other.hear:
            self.other.hear(message)
        else:
            self.other.received.append(message)

    def poll(self) -> bool:
        return bool(self.received)

    def recv(self) -> Any:
        return self.received.pop(0)

    def close(self) -> None: ...

    def fileno(self) -> int:
        return -1


class WorkerProcess:
    """A worker's process as its supervisor has it from `multiprocessing`."""

    def __init__(self, host: Any, assignment: Any, name: str) -> None:
        self._host, self._assignment = host, assignment
        self.inner = Process(host.hub, f"{assignment.worker}")
        self.stop, self.sentinel = Stop(host.hub, host.is_quiet), -1

    def start(self) -> None:
        self.inner.on_end.append(self._host.wake)
        self._assignment.link.hear = self._hear
        self._host.started(self, self._assignment)

    @property
    def pid(self) -> int:
        return id(self)

    @property
    def exitcode(self) -> int | None:
        return self.inner.exitcode

    def terminate(self) -> None:
        self.stop.set()

    def kill(self) -> None:
        self.inner.kill()

    def join(self) -> None:
        assert self.exitcode is not None, "it would wait for ever"

    def _hear(self, alarm_at: float) -> None:
        """Its thread `lease` sets the alarm; a paused process hears nothing until it goes on."""
        if not self.inner.alive:
            return
        wait = self.inner.paused_until - self.inner.hub.time
        if wait > 0:
            self.inner.hub.later(wait, self._hear, alarm_at)
        else:
            self.inner.set_alarm(alarm_at)
            self._assignment.marker.alarm_at = alarm_at


class Processes:
    """What makes processes and pipes, as a context of `multiprocessing` does."""

    def __init__(self, host: Any) -> None:
        self._host = host

    def Pipe(self) -> tuple[Link, Link]:
        ours, theirs = Link(), Link()
        ours.other, theirs.other = theirs, ours
        return ours, theirs

    def Process(self, *, target: Any, args: Sequence[Any], name: str) -> WorkerProcess:
        return WorkerProcess(self._host, args[0], name)


class LivingMarker(Marker):
    """A worker's marker: the dead write nothing."""

    def __init__(self, marker: Marker, process: Process) -> None:
        self._shared, self._process = marker._shared, process

    def _write(self, state: int, transaction_id: str, deadline: float, timeout_seconds: float) -> None:
        if self._process.alive:
            super()._write(state, transaction_id, deadline, timeout_seconds)
