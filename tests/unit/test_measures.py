"""Figures that can be added: counts, histograms, steps of time, and what a quantile makes of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from transqueue.admin.measures import ALL, BUCKETS, DEATHS, STARTS, Tally, added, cumulated, quantile, steps
from transqueue.events import Events

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_a_tally_adds_up_by_type_and_begins_again_when_it_is_taken():
    tally = Tally()
    tally.add("a", "done")
    tally.add("a", "done", 4)
    tally.add("b", "dead")
    assert tally.take() == {"a": {"done": 5}, "b": {"dead": 1}}
    assert tally.take() == {}


def test_what_could_not_be_written_is_added_to_what_came_meanwhile():
    tally = Tally()
    tally.add("a", "done", 2)
    taken = tally.take()
    tally.add("a", "done")
    tally.put_back(taken)
    assert tally.take() == {"a": {"done": 3}}


def test_each_span_falls_into_the_first_bucket_that_holds_it():
    tally = Tally()
    tally.observe("a", -1, 0.001, 0.0011, 5000, histogram="wait")
    taken = tally.take()["a"]
    assert taken.pop("wait.sum") == pytest.approx(5000.0021)
    assert taken == {"wait.0": 2, "wait.1": 1, f"wait.{len(BUCKETS)}": 1}


def test_buckets_are_cumulated_for_prometheus():
    counts = cumulated({"run.0": 2, "run.3": 1, f"run.{len(BUCKETS)}": 1}, "run")
    assert counts[:5] == [2, 2, 2, 3, 3]
    assert (len(counts), counts[-1]) == (len(BUCKETS) + 1, 4)


def test_a_quantile_lies_where_its_share_is_reached():
    figures = {"run.2": 50, "run.5": 50}  # up to 5 ms, and from 25 to 50 ms
    assert quantile(figures, "run", 0.5) == pytest.approx(0.005)
    assert quantile(figures, "run", 0.75) == pytest.approx(0.0375)
    assert quantile(figures, "wait", 0.5) is None
    assert quantile({f"run.{len(BUCKETS)}": 1}, "run", 0.5) == BUCKETS[-1]


def test_rows_are_put_together_into_steps():
    rows = [(NOON + timedelta(minutes=minute), {"done": 1.0, "wait.2": 1.0}) for minute in (0, 1, 4, 9, 10)]
    found = steps(rows, NOON, 300)
    assert [(point.at, point.count("done")) for point in found] == [
        (NOON, 3),
        (NOON + timedelta(minutes=5), 1),
        (NOON + timedelta(minutes=10), 1),
    ]
    assert found[0].quantile("wait", 0.5) is not None
    assert added([{"a": 1}, {"a": 2, "b": 1}]) == {"a": 3, "b": 1}


def test_a_supervisors_events_are_counted():
    tally = Tally()
    events = Events(tally.heard)
    events.emit("worker.spawned", pid=1)
    events.emit("worker.died", ending="killed")
    events.emit("worker.ready")
    assert tally.take() == {ALL: {STARTS: 1, DEATHS: 1}}
