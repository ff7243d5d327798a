"""The mark a worker leaves of what it is doing, in memory that it shares with its supervisor.

Whatever the worker dies of, its supervisor reads here which transaction is to be charged, and until when its handler
may run. One process writes, one reads; the state is written last, so a half-written mark reads as idle.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any, Literal

IDLE, RUNNING, GROUP = 0, 1, 2

Doing = Literal["idle", "running", "group"]
_DOING: tuple[Doing, ...] = ("idle", "running", "group")


class Fields(ctypes.Structure):
    """What is shared."""

    _fields_ = (
        ("state", ctypes.c_int),
        ("turn", ctypes.c_ulonglong),
        ("deadline", ctypes.c_double),
        ("timeout", ctypes.c_double),
        ("id", ctypes.c_char * 32),
        ("alarm", ctypes.c_double),
    )


@dataclass(frozen=True, slots=True)
class Mark:
    """What a worker was doing at one moment.

    Attributes:
        doing: `running` one transaction, a `group` at once (or its commit), or `idle`: nothing that could be charged.
        turn: grows with every mark.
        id: the transaction that is running.
        deadline: when it must have ended, in seconds of `lifeline.boot_time`.
        timeout_seconds: the handler's limit that the deadline comes from.
    """

    doing: Doing
    turn: int
    id: str | None
    deadline: float
    timeout_seconds: float


class Marker:
    """Made by the supervisor, handed to the worker when it is spawned."""

    def __init__(self) -> None:
        self._shared: Any = self._memory()

    def running(self, transaction_id: str, *, deadline: float, timeout_seconds: float) -> None:
        """One transaction's handler is about to run."""
        self._write(RUNNING, transaction_id, deadline, timeout_seconds)

    def group(self, *, deadline: float = float("inf"), timeout_seconds: float = 0.0) -> None:
        """A group's handler is about to run, or what a group did is about to be committed."""
        self._write(GROUP, "", deadline, timeout_seconds)

    def idle(self) -> None:
        """Nothing is running."""
        self._write(IDLE, "", float("inf"), 0.0)

    @property
    def alarm_at(self) -> float:
        """When the kernel ends the worker, in seconds of `lifeline.boot_time`; 0 while it has not set its alarm."""
        return float(self._shared.alarm)

    @alarm_at.setter
    def alarm_at(self, moment: float) -> None:
        self._shared.alarm = moment

    def read(self) -> Mark:
        """The mark as it stands; exact once the worker is dead or stopped."""
        shared = self._shared
        doing = _DOING[shared.state]
        named = shared.id.decode() if doing == "running" else None
        return Mark(doing, shared.turn, named, shared.deadline, shared.timeout)

    def _memory(self) -> Any:
        from multiprocessing.sharedctypes import RawValue  # noqa: PLC0415  (slow, and a kit shares with no process)

        return RawValue(Fields)

    def _write(self, state: int, transaction_id: str, deadline: float, timeout_seconds: float) -> None:
        shared = self._shared
        shared.state = IDLE
        shared.id = transaction_id.encode()
        shared.deadline, shared.timeout = deadline, timeout_seconds
        shared.turn += 1
        shared.state = state
