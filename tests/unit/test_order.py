"""Order per key, as a pure choice: who may go, and who stands still behind whom."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from transqueue.order import Choice, Row, choose, leaves_key
from transqueue.transaction import State

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(seconds=1)


def row(id: str, key: str = "ann", state: State = State.QUEUED, **fields: object) -> Row:
    return Row(**{"id": id, "key": key, "type": "pay", "state": state, "due_at": NOW} | fields)  # type: ignore[arg-type]


def choice(*rows: Row, limit: int = 10) -> Choice:
    return choose(rows, now=NOW, types={"pay"}, limit=limit)


def taken(*rows: Row, limit: int = 10) -> list[str]:
    return [one.id for one in choice(*rows, limit=limit).taken]


def test_what_is_queued_and_due_goes_in_the_order_given():
    assert taken(row("1"), row("2", "bob"), row("3")) == ["1", "2", "3"]


@pytest.mark.parametrize(
    "obstacle",
    [
        row("1", state=State.RUNNING),
        row("1", state=State.DEAD),
        row("1", due_at=LATER),
        row("1", type="unknown"),
    ],
    ids=["runs", "dead", "waits", "no handler"],
)
def test_a_key_stands_still_behind_what_cannot_go_and_other_keys_go_on(obstacle):
    assert taken(obstacle, row("2"), row("3", "bob")) == ["3"]


def test_an_obstacle_holds_back_only_what_comes_after_it():
    assert taken(row("1"), row("2", due_at=LATER), row("3")) == ["1"]


def test_a_key_stands_still_while_a_later_one_of_it_runs():
    # An earlier one may become visible late: accepted is stamped before the insert is committed.
    assert taken(row("1"), row("2", state=State.RUNNING), row("3", "bob")) == ["3"]


def test_a_key_that_runs_out_of_sight_stands_still():
    found = choose([row("1"), row("2", "bob")], now=NOW, types={"pay"}, limit=10, running={"ann"})
    assert [one.id for one in found.taken] == ["2"]


def test_no_more_are_taken_than_asked_for():
    assert taken(row("1"), row("2"), row("3"), limit=2) == ["1", "2"]


def test_one_that_must_run_alone_goes_alone():
    assert taken(row("1", alone=True), row("2", "bob")) == ["1"]


def test_one_that_must_run_alone_waits_behind_others_and_holds_its_key_back():
    assert taken(row("1", "bob"), row("2", alone=True), row("3"), row("4", "bob")) == ["1", "4"]


def test_what_stands_still_is_told_obstacles_included():
    found = choice(row("1", state=State.DEAD), row("2"), row("3", "bob"))
    assert [one.id for one in found.still] == ["1", "2"]


@pytest.mark.parametrize(
    ("state", "after_dead", "leaves"),
    [
        (State.QUEUED, "block", False),
        (State.RUNNING, "block", False),
        (State.DONE, "block", True),
        (State.REJECTED, "block", True),
        (State.CANCELLED, "block", True),
        (State.DEAD, "block", False),
        (State.DEAD, "skip", True),
    ],
)
def test_a_key_moves_on_when_one_is_over_and_past_a_dead_one_only_if_it_is_to_be_skipped(state, after_dead, leaves):
    assert leaves_key(state, after_dead) is leaves
