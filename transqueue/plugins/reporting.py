"""Every process that uses plugins tells how they are in it, at its start, now and then, and when one breaks."""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Protocol

from ..admin.report import ProcessReport
from ..errors import TransQueueError
from ..events import Events
from ..hookspecs import Role
from ..ticker import Ticker
from .table import HandlerTable

TELL_SECONDS = 15.0
TOLD = ("state", "phase", "reason", "cure", "distribution", "version", "types", "warnings")


class Place(Protocol):
    """Where processes tell it, and learn what others know."""

    def tell(self, report: ProcessReport, /) -> None:
        """Keep a report, for a while."""

    def withdraw(self, report: ProcessReport, /) -> None:
        """Forget it."""

    def known_types(self) -> Mapping[str, Collection[str]]:
        """What each plugin claimed when it last worked, on any host."""
        ...


class Reporting:
    """Tells of one process, until it is closed.

    Args:
        slot: tells it apart from others of its role on this host.
    """

    def __init__(self, table: HandlerTable, place: Place, role: Role, slot: int, events: Events) -> None:
        self._table, self._place, self._role, self._slot = table, place, role, slot
        self._is_over = False
        self._ticker = Ticker("plugins", TELL_SECONDS, self.tell, events=events)
        self._ticker.turn()
        self._ticker.start()

    def tell(self) -> None:
        """Tell now. What is broken here may have worked elsewhere since: its types are its own then, here too.

        Raises:
            TransQueueError: the database did not answer.
        """
        if self._is_over:  # the next one may be in its place
            return
        if self._table.failures():
            self._table.learn(self._place.known_types())
        self._place.tell(self._report())

    def close(self) -> None:
        """Tell no more, and have it forgotten."""
        self._is_over = True
        self._ticker.close()
        with suppress(TransQueueError):
            self._place.withdraw(self._report())

    def _report(self) -> ProcessReport:
        states = [state for state in self._table.states() if state.state != "disabled"]
        plugins = {state.name: {name: getattr(state, name) for name in TOLD} for state in states}
        return ProcessReport(
            role=self._role, host=socket.gethostname(), slot=self._slot, pid=os.getpid(), plugins=plugins
        )
