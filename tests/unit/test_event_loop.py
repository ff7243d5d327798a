"""Coroutines run for threads that wait: many at once, each with its own limit, each raising where it is waited for."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from transqueue.process.event_loop import EventLoop

NAME = contextvars.ContextVar("name", default="nobody")


@pytest.fixture
def loop():
    loop = EventLoop()
    yield loop
    loop.close()


async def double(number):
    await asyncio.sleep(0)
    return number * 2


def test_a_coroutine_runs_and_its_value_comes_back(loop):
    assert loop.blocking(double, timeout_seconds=10)(21) == 42


def test_many_threads_wait_at_once(loop):
    together = threading.Barrier(20)
    arrived = asyncio.Event()
    count = 0

    async def meet():
        nonlocal count
        count += 1
        if count == 20:
            arrived.set()
        await arrived.wait()  # only comes when all the others are in flight
        return "met"

    def wait():
        together.wait()
        return loop.blocking(meet, timeout_seconds=10)()

    with ThreadPoolExecutor(20) as pool:
        assert [done.result() for done in [pool.submit(wait) for _ in range(20)]] == ["met"] * 20


def test_one_that_overruns_its_limit_is_cancelled(loop):
    cancelled = threading.Event()

    async def sleeper():
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with pytest.raises(TimeoutError, match=r"did not end within 0\.05 s and was cancelled"):
        loop.blocking(sleeper, timeout_seconds=0.05)()
    assert cancelled.is_set()


def test_a_time_out_of_its_own_stays_its_own(loop):
    async def impatient():
        raise TimeoutError("the gateway is slow")

    with pytest.raises(TimeoutError, match="the gateway is slow"):
        loop.blocking(impatient, timeout_seconds=10)()


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()])
def test_whatever_one_raises_is_raised_where_it_is_waited_for_and_the_others_go_on(loop, error):
    async def failing():
        raise error

    with pytest.raises(type(error)):
        loop.blocking(failing, timeout_seconds=10)()
    assert loop.blocking(double, timeout_seconds=10)(1) == 2


def test_context_variables_of_the_waiting_thread_are_the_coroutines(loop):
    async def who():
        return NAME.get()

    NAME.set("ada")
    assert loop.blocking(who, timeout_seconds=10)() == "ada"
