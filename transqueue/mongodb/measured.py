"""What the verbs of a queue add to its measures: a few additions in memory for each transaction, and no write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence

from ..admin.measures import ACCEPTED, ALL, LAPSES, Tally
from ..clock import Clock
from ..outcome import Verb
from ..queue import Effects, Perform, Receipt, Settlement
from ..transaction import Transaction

PAST = {Verb.COMPLETE: "done", Verb.REJECT: "rejected", Verb.RETRY: "retried", Verb.BURY: "dead"}


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
        now = self._clock.now()
        for type, members in _by_type(transactions).items():
            waits = [(now - one.due_at).total_seconds() for one in members]
            self._tally.observe(type, *waits, histogram="wait")
        return transactions

    def settled(self, settlements: Sequence[Settlement], lost: Collection[str]) -> None:
        """The outcomes written, how long their leases were, and what was accepted together with them."""
        now = self._clock.now()
        mine = [one for one in settlements if one.transaction.id not in lost]
        for type, members in _by_type([one.transaction for one in mine]).items():
            for at, count in Counter(one.lease.at for one in members if one.lease and one.lease.at).items():
                self._tally.observe(type, (now - at).total_seconds(), histogram="held", times=count)
        for (type, verb), count in Counter((one.transaction.type, one.outcome.verb) for one in mine).items():
            self._tally.add(type, PAST[verb], count)
        self._accepted(new for one in mine for new in one.outcome.follow_ups)
        over = (one.transaction for one in mine if one.outcome.verb is not Verb.RETRY)
        for type, count in Counter(new.type for transaction in over for new in transaction.on_end).items():
            self._tally.add(type, ACCEPTED, count)

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
        for type, members in _by_type(transactions).items():
            self._tally.add(type, ACCEPTED, len(members))


def _by_type(transactions: Iterable[Transaction]) -> dict[str, list[Transaction]]:
    found: dict[str, list[Transaction]] = {}
    for one in transactions:
        found.setdefault(one.type, []).append(one)
    return found
