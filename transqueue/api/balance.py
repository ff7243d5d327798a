"""How the connections of one door are spread over its processes, when there are several.

All of them take connections from one socket, whoever is first, and a client keeps its connection: so one process may
have them all while another, which began later perhaps, has none. Each writes down how many requests it is working on;
one that has clearly more than another asks its client to connect again, now and then, until that is no more so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, MutableSequence
from threading import Lock
from typing import Any

AT_LEAST, OF_MINE = 2, 0.25  # more than the other has, in requests and as a part of one's own, to be clearly more
PAUSE_SECONDS = 0.02  # between two that are asked
AWAY = -1  # in place of a number: no process is there

Headers = list[tuple[str, str]]


class Balance:
    """What each process has in hand. Made by the front process, and handed on where processes are spawned.

    Args:
        shared: memory that all of them share, with a number for each.
    """

    def __init__(self, shared: MutableSequence[int]) -> None:
        self._shared = shared
        self.processes = len(shared)
        for number in range(self.processes):
            self.away(number)

    def away(self, number: int) -> None:
        """This process is not there, or not yet."""
        self._shared[number] = AWAY

    def write(self, number: int, requests: int) -> None:
        """How many requests this process is working on."""
        self._shared[number] = requests

    def least(self) -> int:
        """How many the process has that has the fewest."""
        return min((requests for requests in self._shared if requests != AWAY), default=0)


class Share:
    """What one process has in hand, for its own use. Safe for use by many threads."""

    def __init__(self, balance: Balance, number: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._balance, self._number, self._monotonic = balance, number, monotonic
        self._requests, self._lock = 0, Lock()
        self._asked_at = monotonic()
        balance.write(number, 0)

    def began(self) -> None:
        """One more request is being worked on."""
        self._count(1)

    def ended(self) -> None:
        """And one less."""
        self._count(-1)

    def answering(self, start_response: Any) -> Any:
        """A `start_response` by which the client may be asked to connect again."""

        def start(status: str, headers: Headers, *more: Any) -> Any:
            return start_response(status, [*headers, ("Connection", "close")] if self._lets_go() else headers, *more)

        return start

    def _count(self, more: int) -> None:
        with self._lock:
            self._requests += more
            self._balance.write(self._number, self._requests)

    def _lets_go(self) -> bool:
        mine = self._requests
        if mine - self._balance.least() < max(AT_LEAST, mine * OF_MINE):
            return False
        with self._lock:
            now = self._monotonic()
            is_time = now - self._asked_at >= PAUSE_SECONDS
            self._asked_at = now if is_time else self._asked_at
        return is_time
