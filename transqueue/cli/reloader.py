"""Reload without restart: the new set up and healthy first, then the old one drains; else the old one stays.

A neighbour of the supervisor: each turn of its loop takes the change one step further, so that workers are watched all
the while. SIGHUP asks for it, and so does `transqueue reload`, through the database.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol

from ..admin.part import Reload
from ..config import Config
from ..events import Events
from ..process.signals import ReloadFlag
from ..supervisor import Supervisor
from .judging import Judging, Ruling


class Renewable(Protocol):
    """The door, as far as a reload goes."""

    def renew(self, ruling: Ruling, tolerated: Collection[str]) -> None:
        """Begin to bring up a new serving process beside the present one."""

    @property
    def renewal(self) -> Reload | None:
        """How that ended; none while it goes on."""


class Reloader:
    """Takes a reload from the word to its outcome, one step a turn."""

    def __init__(
        self,
        supervisor: Supervisor,
        running: Ruling,
        *,
        flag: ReloadFlag,
        wake: Callable[[], None],
        events: Events,
        tell: Callable[[Reload], None],
        door: Renewable | None = None,
    ) -> None:
        self._supervisor, self._running, self._door = supervisor, running, door
        self._flag, self._wake, self._events, self._tell = flag, wake, events, tell
        self._request = ""
        self._step: Callable[[], None] | None = None

    @property
    def config(self) -> Config:
        """The configuration in use."""
        return self._running.config

    def ask(self, request: str) -> None:
        """Somebody asked through the database; safe from any thread."""
        if request != self._request:
            self._request = request
            self._flag.set()
            self._wake()

    def watch(self) -> None:
        """Take the next step, if there is one to take."""
        if self._step:
            self._step()
        elif self._flag.take():
            self._events.emit("reload.asked", file=str(self._running.config.file))
            self._judging = Judging(self._running, self._wake)
            self._step = self._judged

    def close(self) -> None:
        """The supervisor stops: newcomers go with the others."""
        self._step = None

    def _judged(self) -> None:
        if not self._judging.is_over:
            return
        if self._judging.found is None:
            self._end(self._judging.refused)
            return
        self._new = self._judging.found
        self._supervisor.bring_up(self._new.config, tolerated=self._running.broken)
        self._step = self._brought_up

    def _brought_up(self) -> None:
        succession = self._supervisor.succession
        if succession is None or succession.failure:
            self._keep_old(succession.failure if succession else "the newcomers are gone")
        elif succession.is_ready and self._door:
            self._door.renew(self._new, self._running.broken)
            self._step = self._renewed
        elif succession.is_ready:
            self._adopt()

    def _renewed(self) -> None:
        renewal = self._door.renewal if self._door else None
        if renewal is None:
            return
        if renewal.well:
            self._adopt()  # a newcomer that died meanwhile is replaced, as any worker is
        else:
            self._keep_old(renewal.message)

    def _adopt(self) -> None:
        self._supervisor.adopt()
        self._running = self._new
        self._end("")

    def _keep_old(self, reason: str) -> None:
        self._supervisor.dismiss()
        self._end(reason)

    def _end(self, refused: str) -> None:
        self._step = None
        if refused:
            self._events.emit("reload.refused", reason=refused)
        else:
            self._events.emit("reload.done", processes=self._running.config.workers.processes)
        self._tell(Reload(well=not refused, message=refused or "put to use", request=self._request))
