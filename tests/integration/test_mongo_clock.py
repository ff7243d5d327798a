"""The clock of a process that is connected: the primary's, whatever the host's clock says."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

import transqueue.clock
from transqueue.clock import HostClock

CLOSE = timedelta(milliseconds=50)
FAR_OFF = timedelta(days=1000)


def distance(queue, client):
    """How far the queue's clock is from the server's, at most as seen from here."""
    before = queue.clock.now()
    server = client.admin.command("hello")["localTime"].replace(tzinfo=UTC)
    after = queue.clock.now()
    return max(before - server, server - after, timedelta(0))


@pytest.fixture
def wrong_host_clock(monkeypatch):
    """The host's wall clock is far off, in all the ways in which one can ask for it."""
    usual = time.time

    class Wrong(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + FAR_OFF

    monkeypatch.setattr(time, "time", lambda: usual() + FAR_OFF.total_seconds())
    monkeypatch.setattr(transqueue.clock, "datetime", Wrong)


def test_the_clock_is_the_primarys_as_soon_as_it_is_connected(mongo_queue, mongo_client):
    assert distance(mongo_queue, mongo_client) < CLOSE


def test_a_wrong_host_clock_decides_nothing(wrong_host_clock, connected, mongo_client):
    queue = connected()
    assert HostClock().now() - datetime.now(UTC) > FAR_OFF / 2, "the host's clock is wrong"
    assert distance(queue, mongo_client) < CLOSE


def test_a_host_clock_that_goes_wrong_later_decides_nothing(mongo_queue, mongo_client, request):
    before = mongo_queue.clock.now()
    request.getfixturevalue("wrong_host_clock")
    assert distance(mongo_queue, mongo_client) < CLOSE
    assert mongo_queue.clock.now() - before < timedelta(seconds=30)


@pytest.mark.parametrize("off", [-FAR_OFF, FAR_OFF], ids=["behind", "ahead"])
def test_each_heartbeat_of_the_primary_sets_the_clock(mongo_queue, mongo_client, wait_until, off):
    mongo_queue.clock.observe(datetime.now(UTC) + off)
    assert distance(mongo_queue, mongo_client) > FAR_OFF / 2
    wait_until(lambda: distance(mongo_queue, mongo_client) < CLOSE, timeout=5, message="the clock is right again")


def test_the_clock_stays_close_between_heartbeats(mongo_queue, mongo_client, wait_until):
    seen = []

    def look():
        seen.append(distance(mongo_queue, mongo_client))
        return len(seen) > 60

    wait_until(look, timeout=5)
    assert max(seen) < CLOSE


def test_due_times_and_ids_go_by_the_servers_clock_on_a_host_that_is_far_off(
    wrong_host_clock, connected, new_desk, mongo_client
):
    desk = new_desk(connected())
    soon = desk.enqueue(due_at=desk.at(-0.5))
    desk.enqueue(due_at=desk.at(3600))
    assert [one.id for one in desk.queue.lease(desk.worker(), "deposit", limit=5)] == [soon.id]
    server = mongo_client.admin.command("hello")["localTime"].replace(tzinfo=UTC)
    assert abs(int(soon.id[:13]) - server.timestamp() * 1000) < 5000
