"""What `top` shows, and what the options that choose transactions mean."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import click
import pytest
from rich.console import Console

from transqueue.admin.crew import LiveWorker
from transqueue.admin.filter import Filter
from transqueue.admin.measures import Depth, Depths, Point
from transqueue.admin.pause import Pause
from transqueue.admin.report import WorkerReport
from transqueue.cli import change
from transqueue.cli.chosen import Moment, filter_of
from transqueue.cli.top import MINUTES, View, shown
from transqueue.transaction import State

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def screen(view):
    out = io.StringIO()
    Console(file=out, width=140).print(shown(view))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def row(lines, first):
    return next(line.split() for line in lines if line.split()[:1] == [first])


def test_everything_that_runs_waits_and_fails_is_on_one_screen():
    depth = Depth(queued=9, due=7, running=2, dead=1, oldest_due_at=NOW - timedelta(seconds=90))
    figures = {"accepted": 50, "done": 40, "rejected": 5, "retried": 2, "dead": 1, "run.3": 40}
    report = WorkerReport(doing="running", transaction="1" * 21, seconds=3.25, memory_bytes=80 * 2**20)
    worker = LiveWorker(id="w", host="db1", pid=7, slot=0, started_at=NOW, until=NOW, report=report)
    view = View(
        NOW,
        Depths(NOW, {"deposit": depth}),
        {"deposit": Point(NOW, figures), "greet": Point(NOW, {})},
        [worker],
        {"greet": Pause("local", NOW)},
    )
    lines = screen(view)
    assert lines[0] == "12:00:00 UTC  1 workers  7 due, the oldest for 90.0 s  1 dead"
    assert row(lines, "deposit") == ["deposit", "7", "9", "2", "1", "90.0", "s", "10", "9", "0.6", "10", "ms"]
    assert row(lines, "greet")[:3] == ["greet", "(paused)", "0"]
    assert row(lines, "db1") == ["db1", "0", "7", "1" * 21, "3.2", "s", "80", "MiB"]
    assert MINUTES == 5


def test_nothing_at_all_is_shown_as_such():
    lines = screen(View(NOW, Depths(NOW, {}), {}, [], {}))
    assert lines[0] == "12:00:00 UTC  0 workers  0 due  0 dead"


@pytest.mark.parametrize(("said", "seconds"), [("90s", 90), ("30m", 1800), ("1.5h", 5400), ("7d", 604_800)])
def test_a_span_is_so_long_ago(said, seconds):
    moment = Moment().convert(said, None, None)
    assert abs((datetime.now(UTC) - moment).total_seconds() - seconds) < 30


def test_a_time_is_utc_unless_it_says_otherwise():
    assert Moment().convert("2026-01-01T12:00", None, None) == NOW
    assert Moment().convert("2026-01-01T13:00+01:00", None, None) == NOW
    with pytest.raises(click.BadParameter, match="is no time"):
        Moment().convert("yesterday", None, None)


def test_options_become_a_filter():
    given = dict.fromkeys(("type", "plugin", "submitter", "cause", "since", "until"))
    found = filter_of({**given, "state": "dead", "key": "ann"})
    assert found == Filter(state=State.DEAD, ordering_key="ann")


def test_many_at_once_are_shown_as_a_bar_that_fills(monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr(change, "Console", lambda stderr: Console(file=out, force_terminal=True, width=100))
    assert list(change._progress(["a", "b", "c"], "retried", shown=True)) == ["a", "b", "c"]
    assert "retried" in out.getvalue()
    assert "3/3" in out.getvalue()
