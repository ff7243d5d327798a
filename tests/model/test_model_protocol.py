"""The protocol keeps its promises in every state that two workers and two transactions can reach."""

from __future__ import annotations

import pytest
from promises import ALL
from protocol_cases import CASES, Case, searched
from protocol_model import Model
from protocol_state import Protocol
from state_names import renamed


@pytest.mark.parametrize("name", CASES)
def test_every_state_keeps_the_promises_and_none_is_a_dead_end(name):
    search = searched(CASES[name])
    print(f"\n{name}: {search.states} states, {search.steps} steps, {search.seconds:.1f} s")
    assert not search.violation, search.told()
    assert search.steps > search.states > 500


def everything(model):
    """Every state, by the simplest search that there is: no names, no order."""
    seen, todo = {model.start}, [model.start]
    while todo:
        for _, state, _ in model.steps(todo.pop()):
            if state not in seen:
                seen.add(state)
                todo.append(state)
    return seen


@pytest.mark.parametrize("keyed", [False, True])
def test_the_search_finds_what_the_simplest_search_finds(keyed):
    protocol = Protocol(late=0, limit=1, alarm=True, keyed=keyed, max_attempts=1)
    states = everything(Model(protocol))
    found = searched(Case(protocol))
    print(f"\n{len(states)} states, {found.states} up to names")
    assert {renamed(state, keyed) for state in states} == set(found.canonical)
    assert not any(judge(protocol, state) for state in states for judge in ALL)


def test_whatever_is_reached_is_kept_with_a_trace_that_can_be_walked():
    protocol = Protocol(late=0, limit=1, fence="none")
    model, search = Model(protocol), searched(Case(protocol))
    reached = {model.start}
    for wanted in search.trace:
        reached = {state for before in reached for says, state, _ in model.steps(before) if says == wanted}
    assert any(judge(protocol, state) == search.violation for state in reached for judge in ALL)
