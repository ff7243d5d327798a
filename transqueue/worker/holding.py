"""The transactions that a worker holds and has not started, and the ordering keys that must not go on in its hands."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence

from ..outcome import Verb
from ..queue import Settlement
from ..transaction import Transaction


class Holding:
    """One run of transactions of one type, in order.

    Args:
        held_back: keys whose later transactions go back; shared by all runs of one lease.
        may_start: whether anything more may be started now.

    Attributes:
        started: how many were handed out.
    """

    def __init__(self, members: Iterable[Transaction], held_back: set[str], may_start: Callable[[], bool]) -> None:
        self._waiting, self._given_back = deque(members), list[Transaction]()
        self._held_back, self.may_start = held_back, may_start
        self.started = 0

    def next(self) -> Transaction | None:
        """The next one to start."""
        while self._waiting and self.may_start():
            transaction = self._waiting.popleft()
            if transaction.ordering_key not in self._held_back:
                self.started += 1
                return transaction
            self._given_back.append(transaction)
        return None

    def next_group(self, *, one_per_key: bool, most: int | None = None) -> list[Transaction]:
        """All that may start together, or the first so many: with `one_per_key`, no second one of an ordering key."""
        if not self.may_start():
            return []
        waiting = self.without_held_back(self._waiting)
        group = (_first_of_each_key(waiting) if one_per_key else waiting)[:most]
        chosen = {one.id for one in group}
        self._waiting = deque(one for one in waiting if one.id not in chosen)
        self.started += len(group)
        return group

    def without_held_back(self, members: Iterable[Transaction]) -> list[Transaction]:
        """Those that may run; the others, of keys that must not go on, are given back."""
        passing: list[Transaction] = []
        for one in members:
            (self._given_back if one.ordering_key in self._held_back else passing).append(one)
        return passing

    def note(self, settlement: Settlement) -> None:
        """An attempt ended: its key goes on only if it is over with this one."""
        if not is_over(settlement):
            self.hold_back(settlement.transaction)

    def note_lost(self, settlements: Sequence[Settlement], lost: Collection[str]) -> None:
        """These are somebody else's now, and so is the word on their keys."""
        for one in settlements:
            if one.transaction.id in lost:
                self.hold_back(one.transaction)

    def put_back(self, members: Iterable[Transaction]) -> None:
        """Not done after all. One of them was started: what took this long, and ended nothing, is to come in less."""
        back = list(members)
        self.started = max(1, self.started - len(back))
        self._given_back += back

    def hold_back(self, transaction: Transaction) -> None:
        """The later ones of its key go back."""
        if transaction.ordering_key is not None:
            self._held_back.add(transaction.ordering_key)

    def take_rest(self) -> list[Transaction]:
        """What goes back to the queue; nothing is left."""
        rest = [*self._given_back, *self._waiting]
        self._given_back.clear()
        self._waiting.clear()
        return rest


def is_over(settlement: Settlement) -> bool:
    """Whether the next one of its key may go after this outcome."""
    verb = settlement.outcome.verb
    if verb is Verb.BURY:
        return settlement.transaction.after_dead == "skip"
    return verb is not Verb.RETRY


def _first_of_each_key(members: Iterable[Transaction]) -> list[Transaction]:
    seen: set[str] = set()
    firsts: list[Transaction] = []
    for one in members:
        if one.ordering_key not in seen:
            firsts.append(one)
        if one.ordering_key is not None:
            seen.add(one.ordering_key)
    return firsts
