"""The places that a worker leases from, and which of them had nothing a moment ago."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..order import Due
from ..queue import TransactionQueue
from ..transaction import Transaction

IN_VAIN_SECONDS = 0.05  # how long a source that had nothing is passed over while others have


@dataclass(frozen=True, slots=True)
class Source:
    """One place that a worker leases from: one type, or those of a plugin, in the order of their keys."""

    name: str
    types: Sequence[str]
    lease: Callable[[], Sequence[Transaction]]
    in_order: bool = False


class InVain:
    """The sources that had nothing when they were last looked at."""

    def __init__(self, queue: TransactionQueue, monotonic: Callable[[], float]) -> None:
        self._queue, self._monotonic = queue, monotonic
        self._until: dict[str, float] = {}

    def note(self, source: Source) -> None:
        """It had nothing."""
        self._until[source.name] = self._monotonic() + IN_VAIN_SECONDS

    def forget(self, source: Source) -> None:
        """It had something."""
        self._until.pop(source.name, None)

    def look_at_all_again(self) -> None:
        """None is passed over any more; one question is asked for them together."""
        self._until = dict.fromkeys(self._until, float("-inf"))

    def without(self, sources: Sequence[tuple[int, Source]]) -> list[tuple[int, Source]]:
        """Without those that had nothing a moment ago.

        One question for all that had nothing and are to be looked at again: in a long drain that is most of them.
        """
        now = self._monotonic()
        again = [one for _, one in sources if self._until.get(one.name, now) < now]
        while len(again) > 1 and (found := self._due_in(again)):
            again = [one for one in again if one.in_order is not found.has_key]
        if len(again) > 1:
            self._until |= dict.fromkeys((one.name for one in again), now + IN_VAIN_SECONDS)
        return [(after, one) for after, one in sources if self._until.get(one.name, now) <= now]

    def _due_in(self, sources: Sequence[Source]) -> Due | None:
        in_order = [type for one in sources if one.in_order for type in one.types]
        return self._queue.due([one.name for one in sources if not one.in_order], with_key=in_order)
