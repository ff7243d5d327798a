"""The work of one shared session: its members' handlers, and what becomes of each.

It may be performed several times, when the database asks for it; the last time is what counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..executor import Bound, Executor, is_completion
from ..outcome import Verb
from ..queue import Effects, Settlement
from ..transaction import Transaction
from .holding import is_over

SESSION_SECONDS = 0.5  # a session locks what it wrote: it takes no further member after this


class Spoiled(Exception):
    """The session cannot be committed because of these members; their outcomes, had they been alone."""

    def __init__(self, settlements: Sequence[Settlement]) -> None:
        self.settlements = settlements
        super().__init__()


class SessionRun:
    """One run of one session.

    Attributes:
        inside: settled by the session itself.
        raised: ended by an exception before any write; to be settled apart, once the session is committed.
        left: not started: the session had been open for long, or an earlier one of their key is to be settled apart.
    """

    def __init__(
        self, executor: Executor, bound: Bound, members: Sequence[Transaction], monotonic: Callable[[], float]
    ) -> None:
        self.members = members
        self._executor, self._bound, self._monotonic = executor, bound, monotonic
        self.inside: list[Settlement] = []
        self.raised: list[Settlement] = []
        self.left: list[Transaction] = []

    def perform(self, effects: Effects) -> Sequence[Settlement]:
        """Run the members' handlers with `effects`; what the session is to settle.

        Raises:
            Spoiled: the session must be discarded.
        """
        self.inside, self.raised, self.left = [], [], list(self.members)
        if self._bound.handler.batch:
            self._group(effects)
        else:
            self._each(effects)
        self._executor.mark([one.transaction for one in self.inside])
        return self.inside

    def around(self, spoilers: Sequence[Transaction]) -> tuple[list[Transaction], list[Transaction]]:
        """The other members: those that run again before the spoilers, and those of the spoilers' keys after them."""
        apart, behind = {one.id for one in spoilers}, set[str]()
        before: list[Transaction] = []
        after: list[Transaction] = []
        for one in self.members:
            if one.id not in apart:
                (after if one.ordering_key in behind else before).append(one)
            elif one.ordering_key is not None:
                behind.add(one.ordering_key)
        return before, after

    def _each(self, effects: Effects) -> None:
        began, waiting, stopped = self._monotonic(), self.left, set[str]()
        self.left = []
        for place, member in enumerate(waiting):
            if place and self._monotonic() - began >= SESSION_SECONDS:
                self.left += waiting[place:]
                return
            if member.ordering_key in stopped:
                self.left.append(member)
                continue
            if not is_completion(self._one(member, effects)) and member.ordering_key is not None:
                stopped.add(member.ordering_key)  # it is settled after the commit, and the next of its key after that

    def _one(self, member: Transaction, effects: Effects) -> Settlement:
        before = effects.writes
        one = self._executor.attempt(self._bound, member, effects)
        if is_completion(one):
            self.inside.append(one)
        elif effects.broken or effects.writes > before:
            raise Spoiled([one])
        else:
            self.raised.append(one)
        return one

    def _group(self, effects: Effects) -> None:
        settlements = self._executor.attempt_group(self._bound, self.left, effects)
        self.left = []
        if effects.broken or not any(is_completion(one) for one in settlements):
            raise Spoiled(settlements)
        if spoilers := _ahead_of_their_key(settlements):
            raise Spoiled(spoilers)
        self.inside = settlements


def has_failed(settlements: Sequence[Settlement]) -> bool:
    """Whether a group's handler raised. Its entries never fail: they complete, reject, or ask for later uncharged."""
    verbs = {one.outcome.verb for one in settlements if one.outcome.charged}
    return bool(verbs & {Verb.RETRY, Verb.BURY})


def _ahead_of_their_key(settlements: Sequence[Settlement]) -> list[Settlement]:
    """Those that end their key's turn although later ones of it, in the same group, acted on what they left."""
    last = {one.transaction.ordering_key: one.transaction.id for one in settlements}
    found: dict[str, Settlement] = {}
    for one in settlements:
        key = one.transaction.ordering_key
        if key is not None and not is_over(one) and last[key] != one.transaction.id:
            found.setdefault(key, one)
    return list(found.values())
