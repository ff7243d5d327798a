"""Each safeguard of the protocol, taken away: what goes wrong, by the trace that needs the fewest faults.

Where nothing but time is lost, the test says so: such a safeguard saves waiting or wasted work.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from promises import ALL, effect_once, no_overlap, no_stale_write, order_per_key
from protocol_cases import CASES, Case, searched
from protocol_state import Protocol

ONE_BY_ONE = CASES["one by one"]
OUTSIDE = CASES["one by one, acting outside"]
KEYED = CASES["of one key, two faults"]
CHARGED = CASES["a single one, charged"]
LAPSE = CASES["a single one, the lapse apart"]
LATE = Case(Protocol(transactional=False, alarm=True), transactions=1, max_faults=2)
KEYED_IN_TIME = CASES["of one key, hosts keep time"]
OUTSIDE_KEYED = CASES["of one key, acting outside, commands late"]
OUTSIDE_KEYED_LATE = CASES["of one key, acting outside, two faults"]
RACING = CASES["of one key, visible late"]

BROKEN = {
    "no fence": (ONE_BY_ONE, {"fence": "none"}, effect_once, "with 1 effects"),
    "a fence that only reads": (ONE_BY_ONE, {"fence": "read"}, effect_once, "with 1 effects"),
    "a fence that matches any lease": (ONE_BY_ONE, {"fence": "running"}, no_stale_write, "under a lease that is over"),
    "a lease without a token": (LATE, {"fence": "worker"}, no_stale_write, "under a lease that is over"),
    "leasing what is no longer queued": (
        CASES["together, hosts keep time"],
        {"take_queued": False},
        no_overlap,
        "both workers run A",
    ),
    "not dropping the later ones of a key": (KEYED, {"drop_later": False}, order_per_key, "B is done, and A"),
    "settling two of a key together, cut short by its end": (
        OUTSIDE_KEYED,
        {"apart": False},
        order_per_key,
        "B is done, and A",
    ),
    "settling two of a key together, and waking up late": (
        OUTSIDE_KEYED_LATE,
        {"apart": False},
        order_per_key,
        "B is done, and A",
    ),
    "leasing beside a later one of the key that runs": (
        RACING,
        {"alone_in_key": False},
        None,
        "A and B, of one key, run at the same time",
    ),
    "a repeated settlement taken as written": (OUTSIDE, {"read_back": False}, no_stale_write, "that was not"),
    "charging by worker only": (CHARGED, {"charge_by_token": False}, no_stale_write, "charged for another lease"),
    "a lapsed lease renewed, and put back before ended": (
        LAPSE,
        {"renew_lapsed": True, "end_first": False},
        no_stale_write,
        "taken from a worker whose lease is live",
    ),
    "an idempotency key stored twice": (
        CASES["one request sent twice"],
        {"unique": False},
        effect_once,
        "stored twice",
    ),
    "leaving what an ended worker holds": (LATE, {"rescue_ended": False}, None, "a dead end"),
    "killing no session, and no server that ends it": (LAPSE, {"kill": False, "server_ends": False}, None, "dead end"),
}

ONLY_SLOWER = {
    "killing no session: the server ends it, later": (LAPSE, {"kill": False}),
    "no server that ends sessions: rescues kill them": (LAPSE, {"server_ends": False}),
    "put back before ended: a lapsed lease cannot be renewed": (LAPSE, {"end_first": False}),
    "a lapsed lease renewed: rescues end it first": (LAPSE, {"renew_lapsed": True}),
    "a keyed lease without the lane: the rows themselves conflict": (KEYED_IN_TIME, {"lane": False, "limit": 1}),
}


def mutant(case, changes):
    return replace(case, protocol=replace(case.protocol, **changes))


@pytest.mark.parametrize("name", BROKEN)
def test_without_it_a_promise_is_broken(name):
    case, changes, judge, breach = BROKEN[name]
    search = searched(mutant(case, changes), (judge,) if judge else ALL)
    print(f"\n{name} ({search.states} states): {search.told()}")
    assert breach in search.violation, search.told()


@pytest.mark.parametrize("fence", ["none", "read"])
def test_without_the_fence_as_a_write_an_effect_happens_twice(fence):
    def twice(protocol, state):
        return "twice" if any(doc.effects > 1 for doc in state.docs) else ""

    search = searched(mutant(ONE_BY_ONE, {"fence": fence}), (twice,))
    print(f"\n{search.told()}")
    assert search.violation == "twice", search.told()


@pytest.mark.parametrize("name", ONLY_SLOWER)
def test_without_it_only_time_is_lost(name):
    search = searched(mutant(*ONLY_SLOWER[name]))
    print(f"\n{name}: {search.states} states, {search.steps} steps, {search.seconds:.1f} s")
    assert not search.violation, search.told()
    assert search.steps > search.states > 500
