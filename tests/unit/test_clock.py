"""The clocks: the host's, and the server's as this process follows it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from transqueue.clock import HostClock, ServerClock, whole_milliseconds

NOON = datetime(2026, 5, 4, 12)


class Ticks:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def test_a_moment_keeps_its_milliseconds_and_drops_what_bson_would_drop():
    assert whole_milliseconds(NOON.replace(microsecond=123_999)) == NOON.replace(microsecond=123_000)


def test_the_host_clock_is_aware_and_in_whole_milliseconds():
    moment = HostClock().now()
    assert moment.tzinfo is UTC
    assert moment.microsecond % 1000 == 0
    assert abs(moment - datetime.now(UTC)) < timedelta(seconds=10)


def test_before_the_first_observation_the_server_clock_goes_by_the_host():
    ticks = Ticks()
    clock = ServerClock(ticks)
    start = clock.now()
    assert abs(start - datetime.now(UTC)) < timedelta(seconds=10)
    ticks.seconds += 3600
    assert timedelta(seconds=3599) < clock.now() - start < timedelta(seconds=3601)


def test_an_observed_server_time_is_carried_forward_by_the_monotonic_clock():
    ticks = Ticks()
    clock = ServerClock(ticks)
    clock.observe(NOON)
    assert clock.now() == NOON.replace(tzinfo=UTC)
    ticks.seconds += 1.2349
    assert clock.now() == NOON.replace(tzinfo=UTC, second=1, microsecond=234_000)


def test_a_new_observation_replaces_the_old_one_even_when_it_steps_back():
    ticks = Ticks()
    clock = ServerClock(ticks)
    clock.observe(NOON)
    ticks.seconds += 5
    clock.observe(NOON - timedelta(hours=1))
    ticks.seconds += 2
    assert clock.now() == NOON.replace(tzinfo=UTC, hour=11, second=2)
