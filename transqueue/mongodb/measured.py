"""What the verbs of a queue add to its measures: a few additions in memory for each transaction, and no write."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from operator import attrgetter

from ..admin.measures import ACCEPTED, ALL, LAPSES, Tally
from ..clock import Clock
from ..outcome import Verb
from ..queue import Effects, Perform, Receipt, Settlement
from ..transaction import Transaction

PAST = {Verb.COMPLETE: "done", Verb.REJECT: "rejected", Verb.RETRY: "retried", Verb.BURY: "dead"}
_due = attrgetter("type", "due_at")
_end = attrgetter("transaction.type", "outcome.verb", "transaction.lease.at")


class Measured:
    """Counts what went well."""

    def __init__(self, tally: Tally, clock: Clock) -> None:
        self._tally, self._clock = tally, clock

    def accepted(self, receipts: Sequence[Receipt]) -> list[Receipt]:
        """Those that are new; the receipts again."""
        self._accepted(one.transaction for one in receipts if not (one.replayed or one.key_reused))
        return list(receipts)

    def leased(self, transactions: Sequence[Transaction]) -> Sequence[Transaction]:
        """How long each had been due; the transactions again."""
        self._observe("wait", Counter(map(_due, transactions)))
        return transactions

    def settled(self, settlements: Sequence[Settlement], lost: Collection[str]) -> None:
        """The outcomes written, how long their leases were, and what was accepted together with them."""
        mine = [one for one in settlements if one.transaction.id not in lost] if lost else settlements
        held = Counter[tuple[str, datetime]]()
        for (type, verb, at), count in Counter(map(_end, mine)).items():
            self._tally.add(type, PAST[verb], count)
            if at:
                held[type, at] += count
        self._observe("held", held)
        self._accepted(new for one in mine if one.outcome.follow_ups for new in one.outcome.follow_ups)
        ended = [one.transaction for one in mine if one.transaction.on_end and one.outcome.verb is not Verb.RETRY]
        for type, count in Counter(new.type for transaction in ended for new in transaction.on_end).items():
            self._tally.add(type, ACCEPTED, count)

    def _observe(self, histogram: str, since: Mapping[tuple[str, datetime], int]) -> None:
        """Spans that end now, so many of each type from each moment on: many share one."""
        now, spans = self._clock.now(), defaultdict[str, list[tuple[float, int]]](list)
        for (type, moment), count in since.items():
            spans[type].append(((now - moment).total_seconds(), count))
        for type, observed in spans.items():
            self._tally.observe_many(type, observed, histogram=histogram)

    def watched(self, perform: Perform) -> tuple[Perform, Callable[[Collection[str]], None]]:
        """The same work of a session, and what to call with the ids lost once the session is over."""
        last: list[Settlement] = []

        def run(effects: Effects) -> Sequence[Settlement]:
            last[:] = perform(effects)
            return last

        return run, lambda lost: self.settled([] if lost else last, lost)

    def moved(self, type: str, state: str) -> None:
        """One was ended from outside its attempt."""
        self._tally.add(type, state)

    def lapsed(self, workers: int) -> None:
        """So many leases lapsed."""
        if workers:
            self._tally.add(ALL, LAPSES, workers)

    def _accepted(self, transactions: Iterable[Transaction]) -> None:
        for type, count in Counter(one.type for one in transactions).items():
            self._tally.add(type, ACCEPTED, count)
