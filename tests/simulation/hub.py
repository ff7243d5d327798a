"""Simulated time, processes and threads: everything that happens is one event, and a seed decides which comes next.

A process's threads are greenlets: they run the real code until it sleeps or calls the database, which are the only
places where another may come between. A process can be killed (it takes no further step, whatever it catches) and
paused (its steps wait).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any
from zlib import crc32

from greenlet import getcurrent, greenlet

MOST_EVENTS = 200_000


class Killed(BaseException):
    """The process of this thread is dead."""


class Hub:
    """What happens, and when, in simulated seconds."""

    def __init__(self, seed: int, *, told: Callable[[str], None] | None = None) -> None:
        self.seed, self.random, self.time = seed, random.Random(seed), 0.0
        self.events = self.digest = self._order = 0
        self._told, self._heap = told, list[tuple[float, int, Callable[..., None], tuple[Any, ...]]]()
        self._main, self._until = getcurrent(), 0.0
        self.processes: list[Process] = []

    def now(self) -> float:
        """Seconds since the simulation began."""
        return self.time

    def chance(self, probability: float) -> bool:
        """True so often."""
        return self.random.random() < probability

    def between(self, low: float, high: float) -> float:
        """A number of seconds, evenly."""
        return low + (high - low) * self.random.random()

    def later(self, seconds: float, happen: Callable[..., None], *arguments: Any) -> None:
        """Have something happen so many seconds from now."""
        self._order += 1
        heappush(self._heap, (self.time + seconds, self._order, happen, arguments))

    def run(self, until: float) -> None:
        """Let everything happen up to a moment."""
        heap, self._until = self._heap, until
        while heap and heap[0][0] <= until:
            self.time, _, happen, arguments = heappop(heap)
            self.events += 1
            assert self.events < MOST_EVENTS, "it goes round in circles"
            happen(*arguments)
        self.time = max(self.time, until)

    def close(self) -> None:
        """End whatever still runs: a thread that stands still where it is would never be forgotten."""
        for process in self.processes:
            process.on_end.clear()
            process.kill()
        for thread in [thread for process in self.processes for thread in process.threads]:
            if not thread.dead:
                thread.switch()
        self._heap.clear()

    def tell(self, what: str) -> None:
        """Note what happens: two runs of a seed note the same."""
        self.digest = crc32(what.encode(), self.digest)
        if self._told:
            self._told(f"{self.time:9.4f}  {what}")

    @property
    def thread(self) -> Thread:
        """The thread that is running."""
        return getcurrent()  # type: ignore[return-value]

    def sleep(self, seconds: float) -> None:
        """Let the running thread sleep."""
        thread: Thread = getcurrent()  # type: ignore[assignment]
        process = thread.process
        if process.exitcode is not None:
            raise Killed
        heap, until = self._heap, self.time + max(0.0, seconds)
        self._order += 1
        thread.sleeps += 1
        if until <= self._until and process.paused_until <= until and not (heap and heap[0][0] <= until):
            self.time = until  # it is what happens next, so nobody else need be asked
            self.events += 1
            assert self.events < MOST_EVENTS, "it goes round in circles"
            return
        heappush(heap, (until, self._order, thread.resume, (thread.sleeps,)))
        self._main.switch()
        if process.exitcode is not None:
            raise Killed


class Thread(greenlet):
    """One thread of a process."""

    def __init__(self, process: Process, run: Callable[[], None]) -> None:
        super().__init__(self._live, process.hub._main)
        self.process, self._run_it, self.sleeps = process, run, 0  # only who knows the number of a sleep can end it
        process.threads.append(self)
        process.hub.later(0.0, self.resume, 0)

    def _live(self) -> None:
        try:
            self.process.check()
            self._run_it()
        except Killed:
            pass
        except SystemExit as ending:
            self.process.end(int(ending.code or 0))

    def resume(self, sleep: int) -> None:
        """Go on, if this sleep is still the present one; a paused process goes on later."""
        process = self.process
        if self.dead or sleep != self.sleeps:
            return
        if process.alive and process.paused_until > process.hub.time:
            process.hub.later(process.paused_until - process.hub.time, self.resume, sleep)
        else:
            self.switch()

    def wake(self) -> None:
        """End its sleep now."""
        self.process.hub.later(0.0, self.resume, self.sleeps)


class Process:
    """A process on a host; its death is seen by whoever waits for it."""

    def __init__(self, hub: Hub, name: str) -> None:
        self.hub, self.name = hub, name
        hub.processes.append(self)
        self.threads: list[Thread] = []
        self.exitcode: int | None = None
        self.ended_at: float | None = None
        self.paused_until, self.alarm_at = 0.0, float("inf")
        self.frozen_until = 0.0
        self.on_end: list[Callable[[], None]] = []

    @property
    def alive(self) -> bool:
        return self.exitcode is None

    def start(self, run: Callable[[], None]) -> Thread:
        """Run something in a new thread."""
        return Thread(self, run)

    def check(self) -> None:
        """A dead process takes no step.

        Raises:
            Killed: it is dead.
        """
        if self.exitcode is not None:
            raise Killed

    def kill(self) -> None:
        """SIGKILL."""
        self.end(-9)

    def end(self, exitcode: int) -> None:
        """Die, with all threads."""
        if self.exitcode is not None:
            return
        self.exitcode, self.ended_at = exitcode, self.hub.time
        self.hub.tell(f"{self.name} ends: {exitcode}")
        for thread in self.threads:
            thread.wake()
        for tell in self.on_end:
            tell()

    def pause(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after a while."""
        self.hub.tell(f"{self.name} is paused for {seconds:.3f} s")
        self.paused_until = max(self.paused_until, self.hub.time + seconds)

    def set_alarm(self, moment: float) -> None:
        """The kernel's timer: it ends the process at this moment, unless it is set again."""
        self.alarm_at = moment
        self.hub.later(max(0.0, moment - self.hub.time), self._ring)

    def _ring(self) -> None:
        if self.alive and self.hub.time >= self.alarm_at:
            if self.frozen_until > self.hub.time:  # the whole host stands still, its kernel too
                self.hub.later(self.frozen_until - self.hub.time + self.hub.between(0.0, 0.2), self._ring)
            else:
                self.kill()
