"""The cases that are searched whole, and the search of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import promises
from protocol_model import Model
from protocol_state import Protocol
from state_search import Search


@dataclass(frozen=True)
class Case:
    """A protocol, how many transactions, and how many faults at most (None: any number)."""

    protocol: Protocol = field(default_factory=Protocol)
    transactions: int = 2
    max_faults: int = 1_000


_ONE = Protocol(late=0, limit=1)
_KEYED = Protocol(keyed=True, late=0)
CASES = {
    "one by one": Case(_ONE),
    "one by one, acting outside": Case(Protocol(transactional=False, late=0, limit=1)),
    "together, hosts keep time": Case(Protocol(late=0, alarm=True)),
    "of one key, two faults": Case(_KEYED, max_faults=2),
    "of one key, hosts keep time": Case(Protocol(keyed=True, late=0, alarm=True)),
    "of one key, acting outside, hosts keep time": Case(
        Protocol(transactional=False, keyed=True, late=0, alarm=True, after_dead="skip")
    ),
    "of one key, acting outside, commands late": Case(
        Protocol(transactional=False, keyed=True, alarm=True), max_faults=2
    ),
    "of one key, acting outside, two faults": Case(Protocol(transactional=False, keyed=True, late=0), max_faults=2),
    "of one key, visible late": Case(Protocol(keyed=True, alarm=True, racing=True, late=0), max_faults=2),
    "a single one, charged": Case(Protocol(late=0, alone=True, max_attempts=3, max_crashes=2), 1),
    "a single one, acting outside, commands late": Case(Protocol(transactional=False), 1, max_faults=4),
    "a single one, the lapse apart": Case(Protocol(late=0, lapsed_apart=True), 1),
    "one request sent twice": Case(Protocol(late=0, limit=1, alarm=True, same_request=True)),
}


def searched(case: Case, judges: Sequence[promises.Judge] = promises.ALL) -> Search:
    """Look for a breach of the promises, then for a dead end."""
    protocol = case.protocol
    search = Search(Model(protocol, case.transactions))
    search.run(
        lambda state: next((breach for judge in judges if (breach := judge(protocol, state))), ""), case.max_faults
    )
    return search if search.violation else search.dead_end(lambda state: promises.is_end(protocol, state))
