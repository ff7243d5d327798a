"""What becomes of one that has ended, by its state, its age and its key."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from transqueue.admin.retention import Fate, Retention
from transqueue.cli.sweeper import retention_of
from transqueue.config import Config, RetentionConfig
from transqueue.transaction import State

NOW = datetime(2026, 6, 1, tzinfo=UTC)
RETENTION = Retention(days={State.DONE: 7, State.DEAD: None}, key_days=30)


def fate(state=State.DONE, *, created=10, finished=10, has_key=False, blocks=False):
    ago = {name: NOW - timedelta(days=days) for name, days in (("created_at", created), ("finished_at", finished))}
    return RETENTION.fate(state=state, has_key=has_key, blocks=blocks, now=NOW, **ago)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (fate(), Fate.REMOVE),
        (fate(finished=6), Fate.KEEP),
        (fate(has_key=True), Fate.SLIM),
        (fate(has_key=True, created=31), Fate.REMOVE),
        (fate(State.DEAD, created=900, finished=900), Fate.KEEP),
        (fate(State.CANCELLED), Fate.KEEP),
        (fate(blocks=True), Fate.KEEP),
        (fate(None, has_key=True, created=29), Fate.KEEP),
        (fate(None, has_key=True, created=31), Fate.REMOVE),
    ],
)
def test_a_fate_depends_on_state_age_and_key(found, expected):
    assert found is expected


def test_it_is_on_by_default_and_never_for_dead_ones():
    assert retention_of(Config()) == Retention(
        days={State.DONE: 7, State.REJECTED: 30, State.CANCELLED: 30, State.DEAD: None}, key_days=30
    )
    assert retention_of(Config()).shortest_days == 7
    none = RetentionConfig(done_days=None, rejected_days=None, cancelled_days=None)
    assert retention_of(Config(retention=none)).shortest_days is None
