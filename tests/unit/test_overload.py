"""A queue that is too deep: who is turned away, and until when."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import urllib3

from transqueue.admin.measures import Depth, Depths, Point
from transqueue.api.overload import LONGEST_SECONDS, Overload
from transqueue.cli.submitter import FIRST_MEETING, LATER
from transqueue.errors import QueueUnavailable, SubmissionRefused
from transqueue.testing import SettableClock

NOW = datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC)


class Known:
    """Measures that are set by hand."""

    def __init__(self) -> None:
        self.at, self.queued, self.running = NOW, 0, 0
        self.ended: dict[int, float] = {}  # by minutes ago
        self.away = False

    def depths(self) -> Depths:
        if self.away:
            raise QueueUnavailable
        return Depths(self.at, {"a": Depth(queued=self.queued, dead=10_000), "b": Depth(running=self.running)})

    def series(self, type: str | None, since: datetime, until: datetime, step_seconds: int) -> Sequence[Point]:
        assert (type, step_seconds) == (None, 60)
        minute = NOW.replace(second=0)
        points = [(minute - timedelta(minutes=ago), count) for ago, count in self.ended.items()]
        wanted = [(at, count) for at, count in points if since <= at < until]
        return [Point(at, {"done": count - 1, "dead": 1, "accepted": 999}) for at, count in wanted]


@pytest.fixture
def known() -> Known:
    return Known()


@pytest.fixture
def overload(known: Any) -> Overload:
    return Overload(known, SettableClock(NOW), 1000, uniform=lambda low, high: low)


def refusal(overload: Overload) -> SubmissionRefused:
    with pytest.raises(SubmissionRefused) as refused:
        overload.check()
    assert (refused.value.status, refused.value.code) == (503, "overloaded")
    return refused.value


@pytest.mark.parametrize(
    ("queued", "running", "room"), [(0, 0, True), (999, 1, True), (1000, 1, False), (0, 1001, False)]
)
def test_what_waits_and_what_runs_counts_and_the_dead_do_not(
    overload: Overload, known: Known, queued: int, running: int, room: bool
) -> None:
    known.queued, known.running = queued, running
    overload.look()
    if room:
        overload.check()
    else:
        assert f"{queued + running:,}" in refusal(overload).message


def test_what_this_door_took_counts_until_it_is_in_the_next_count(overload: Overload, known: Known) -> None:
    known.queued = 900
    overload.look()
    overload.took(100)
    overload.check()
    overload.took(1)
    overload.look()  # the same count again
    refusal(overload)
    known.at += timedelta(seconds=3)
    overload.look()
    overload.check()


@pytest.mark.parametrize(
    ("depth", "ended", "seconds"),
    [
        (1100, {1: 60.0, 0: 30.0}, 200),  # 200 too many at 1 a second
        (1100, {2: 6000.0, 1: 6000.0, 0: 3000.0}, 2),  # at 100 a second
        (1100, {0: 300.0}, 20),  # it began to drain in this minute: 10 a second
        (1001, {1: 60_000.0, 0: 30_000.0}, 1),
        (9000, {1: 60.0, 0: 30.0}, LONGEST_SECONDS),
        (1100, {}, LONGEST_SECONDS),
        (1100, {9: 60_000.0}, LONGEST_SECONDS),  # that was long ago
    ],
)
def test_one_is_told_to_come_back_when_there_will_be_room_at_the_rate_of_the_last_minutes(
    overload: Overload, known: Known, depth: int, ended: dict[int, float], seconds: int
) -> None:
    known.queued, known.ended = depth, ended
    overload.look()
    assert refusal(overload).retry_after_seconds == seconds


def test_those_turned_away_together_come_back_spread_over_as_long_again(known: Any) -> None:
    known.queued, known.ended = 1100, {1: 600.0, 0: 300.0}
    overload = Overload(known, SettableClock(NOW), 1000, uniform=random.Random(1).uniform)
    overload.look()
    told = [refusal(overload).retry_after_seconds for _ in range(200)]
    assert (min(told), max(told)) == (21, 40)  # type: ignore[type-var]
    assert max(map(told.count, told)) < 30


def test_what_was_last_known_counts_while_the_database_is_away(overload: Overload, known: Known) -> None:
    known.away = True
    with pytest.raises(QueueUnavailable):
        overload.look()
    overload.check()
    known.away, known.queued = False, 2000
    overload.look()
    known.away = True
    with pytest.raises(QueueUnavailable):
        overload.look()
    refusal(overload)


# The client's side


@pytest.mark.parametrize("policy", [FIRST_MEETING, LATER])
def test_the_client_waits_as_long_as_it_is_asked_and_up_to_as_long_again(policy: urllib3.Retry) -> None:
    answer = urllib3.HTTPResponse(status=503, headers={"Retry-After": "20"})
    waits = [policy.get_retry_after(answer) or 0 for _ in range(200)]
    assert 20 <= min(waits) < 23 < 37 < max(waits) <= 40


def test_without_a_word_from_the_door_the_client_backs_off_by_full_jitter() -> None:
    tried = FIRST_MEETING
    for _ in range(4):
        tried = tried.increment("POST", "/", response=urllib3.HTTPResponse(status=503))
    waits = [tried.get_backoff_time() for _ in range(400)]
    assert min(waits) < 0.3 < 2.9 < max(waits) <= 3.2
