"""The supervisor, turn by turn, with stand-ins for its worker processes."""

from __future__ import annotations

import os
import time
from functools import partial
from itertools import pairwise

import pytest

from transqueue.admin.report import WorkerReport
from transqueue.config import Config, WorkersConfig
from transqueue.events import Events
from transqueue.queue import Casualty, WorkerRecord
from transqueue.supervisor import supervisor as supervisor_module
from transqueue.supervisor.starts import BOOT_SECONDS
from transqueue.supervisor.supervisor import BACKOFF_SECONDS, CRASHED_SECONDS, HEALTHY_SECONDS, Supervisor
from transqueue.testing import MemoryQueue, SettableClock
from transqueue.worker.process import Starting

SIGKILL, SIGTERM = -9, -15


class Ticks:
    """The boot time, as a test moves it; it may also pass by itself a little at each look."""

    def __init__(self):
        self.seconds, self.step = 1000.0, 0.0

    def __call__(self):
        self.seconds += self.step
        return self.seconds


class FakeProcess:
    """A process that ends when it is told to, with a sentinel as a real one has."""

    def __init__(self, pid):
        self.pid, self.exitcode, self.joined = pid, None, False
        self.sentinel, self._alive = os.pipe()
        self.link, self._talk = os.pipe()

    def die(self, exitcode):
        if self.exitcode is None:
            self.exitcode = exitcode
            os.close(self._alive)
            os.close(self._talk)

    def talk(self):
        os.write(self._talk, b"ready")

    def join(self):
        assert self.exitcode is not None, "it would wait for ever"
        self.joined = True


class FakeChild:
    """What a supervisor needs of a child; it does what the test says."""

    def __init__(self, house, config, uri, slot, now):
        self.worker = f"worker-{len(house.children)}"
        self.config, self.uri, self.slot, self.spawned_at = config, uri, slot, now
        self.is_ready, self.stubborn, self.overdue, self.closed = False, False, False, False
        self.swollen, self.starting, self.refused = False, Starting("", "", now), None
        self.running, self.alarms, self.did, self.broken = None, [], [], {}
        self.process, self._house, self._said = FakeProcess(1000 + len(house.children)), house, False
        self.ending = "as the test said"

    @property
    def link(self):
        return self.process.link

    def begin(self):
        """The worker begins its lease and says that it is ready."""
        record = WorkerRecord(id=self.worker, host="here", pid=self.process.pid, slot=self.slot)
        self._house.queue.begin(record, lease_seconds=30)
        self._said = True
        self.process.talk()

    def report(self, now):
        return WorkerReport(seconds=now)

    def listen(self):
        said, self._said = self._said, False
        self.is_ready |= said
        return said

    def renewed(self, alarm_at, *, now):
        self.alarms.append(alarm_at)

    def stop(self):
        self.did.append("stop")
        self._house.log.append(f"stop {self.worker}")
        if not self.stubborn:
            self.process.die(0)

    def kill(self):
        self.did.append("kill")
        self.process.die(SIGKILL)

    def check_deadline(self, now):
        self.did.append(("checked", now))
        return self.overdue

    def check_memory(self, mib):
        return self.swollen

    def casualty(self, now):
        return Casualty(running=self.running, reason=f"at {now:g}")

    def close(self):
        self.closed = True
        os.close(self.process.sentinel)
        os.close(self.process.link)


class SpyQueue(MemoryQueue):
    def __init__(self):
        super().__init__(SettableClock())
        self.ended = []

    def end(self, worker, casualty):
        self.ended.append((worker, casualty))
        return super().end(worker, casualty)


class House:
    def __init__(self, monkeypatch, processes=2):
        self.ticks, self.queue, self.heard, self.children, self.log = Ticks(), SpyQueue(), [], [], []
        self.was_ready, self.left_behind = [], []
        monkeypatch.setattr(supervisor_module, "Child", self._spawn)
        config = Config(workers=WorkersConfig(processes=processes, stop_seconds=20))
        self.supervisor = Supervisor(
            config,
            "mongodb://here",
            self.queue,
            events=Events(self.heard.append),
            on_ready=lambda: self.was_ready.append(True),
            now=self.ticks,
            end_orphans=self._end_orphans,
        )

    def _end_orphans(self):
        left, self.left_behind = self.left_behind, []
        self.log += [f"end {one}" for one in left]
        return left

    def _spawn(self, config, uri, slot, *, now, log_json):
        self.children.append(FakeChild(self, config, uri, slot, now))
        return self.children[-1]

    def turn(self, seconds=0.0):
        self.ticks.seconds += seconds
        self.supervisor.turn()

    def begun(self):
        """Spawn all, and have all ready."""
        self.turn()
        for child in self.supervisor.children:
            child.begin()
        self.turn()
        return self.supervisor.children

    def told(self, name):
        return [dict(event.facts) for event in self.heard if event.name == name]

    def until_spawned(self, slot=0):
        """Take turns until the slot has a new child; the seconds that took."""
        before, began = len(self.children), self.ticks.seconds
        while len(self.children) == before:
            self.turn(0.01)
            assert self.ticks.seconds < began + 100
        return self.ticks.seconds - began


@pytest.fixture
def house(monkeypatch):
    return House(monkeypatch)


@pytest.fixture
def lonely(monkeypatch):
    """A house of one worker."""
    return House(monkeypatch, processes=1)


# Spawning


def test_a_turn_spawns_the_missing(house):
    house.turn()
    assert [child.slot for child in house.children] == [0, 1]
    assert {child.uri for child in house.children} == {"mongodb://here"}
    assert [(told["slot"], told["pid"]) for told in house.told("worker.spawned")] == [(0, 1000), (1, 1001)]


def test_nobody_is_spawned_when_all_are_there(house):
    house.begun()
    house.turn(1)
    house.turn(100)
    assert len(house.children) == 2


def test_one_that_became_ready_is_told_once_and_its_lease_is_kept(house):
    first, second = house.begun()
    house.turn()
    assert [told["slot"] for told in house.told("worker.ready")] == [0, 1]
    house.supervisor.keeper.turn()
    assert len(first.alarms) == len(second.alarms) == 1


def test_the_lease_of_one_that_is_not_ready_is_not_kept(house):
    house.turn()
    house.supervisor.keeper.turn()
    assert house.children[0].alarms == []
    assert house.supervisor.keeper.lapsed == set()


def test_that_all_are_ready_is_said_once(house):
    house.turn()
    first, second = house.children
    first.begin()
    house.turn()
    assert house.was_ready == []
    second.begin()
    house.turn()
    first.process.die(1)
    house.turn(60)
    house.turn(60)
    house.children[-1].begin()
    house.turn()
    assert house.was_ready == [True]


# Reaping and replacing


def test_a_dead_one_is_reaped_with_its_casualty_and_its_lease_ended(house):
    first, _ = house.begun()
    first.running = "the one"
    first.process.die(1)
    house.turn(60)
    house.supervisor.keeper.turn()
    assert house.queue.ended == [(first.worker, Casualty(running="the one", reason="at 1060"))]
    assert first.closed
    assert house.told("worker.died") == [
        {"worker": "worker-0", "slot": 0, "ending": "as the test said", "ran": "the one"}
    ]


def test_what_a_dead_one_held_is_put_back_though_it_was_never_ready(house):
    house.turn()
    house.children[0].process.die(70)
    house.turn()
    house.supervisor.keeper.turn()
    assert [worker for worker, _ in house.queue.ended] == ["worker-0"]


def test_one_that_ended_in_good_order_is_replaced_without_alarm(house):
    first, _ = house.begun()
    first.process.die(0)
    house.turn(60)
    assert house.told("worker.died") == []
    assert house.until_spawned() < 0.1


def test_one_that_lived_well_is_replaced_at_once_in_its_slot(house):
    _, second = house.begun()
    second.process.die(SIGKILL)
    house.turn(HEALTHY_SECONDS + 1)
    house.turn()
    assert [child.slot for child in house.children] == [0, 1, 1]
    assert house.children[2].worker != second.worker


def test_the_trouble_of_one_slot_does_not_hold_up_the_others(house):
    house.begun()
    for _ in range(5):
        house.supervisor.children[0].process.die(1)
        house.turn()
        house.until_spawned()
    house.supervisor.children[1].process.die(1)
    house.turn(60)
    house.turn()
    assert house.children[-1].slot == 1


def waits(house, deaths, *, ready, lived=0.0):
    """How long the slot stays empty after each of so many deaths."""
    found = []
    for _ in range(deaths):
        if not house.supervisor.children:
            house.until_spawned()
        child = house.supervisor.children[0]
        if ready:
            child.begin()
            house.turn()
        child.process.die(1)
        house.turn(lived)
        found.append(house.until_spawned())
    return found


def test_those_that_never_get_ready_are_replaced_ever_more_slowly(lonely):
    lonely.turn()
    found = waits(lonely, 11, ready=False)
    first, longest = BACKOFF_SECONDS
    assert found[:4] == pytest.approx([first, first * 2, first * 4, first * 8], abs=0.02)
    assert found[-1] == pytest.approx(longest, abs=0.02)
    assert all(earlier <= later + 0.02 for earlier, later in pairwise(found))


def test_one_that_took_long_and_never_got_ready_did_not_live_well(lonely):
    lonely.turn()
    found = waits(lonely, 3, ready=False, lived=BOOT_SECONDS + 1)
    assert found == pytest.approx([0.1, 0.2, 0.4], abs=0.02)


def test_those_that_die_young_of_their_work_wait_but_not_for_long(lonely):
    lonely.turn()
    found = waits(lonely, 8, ready=True, lived=1)
    assert found[0] == pytest.approx(BACKOFF_SECONDS[0], abs=0.02)
    assert found[-1] == pytest.approx(CRASHED_SECONDS, abs=0.02)


def test_after_one_that_lived_well_the_next_is_replaced_at_once_again(lonely):
    lonely.turn()
    waits(lonely, 6, ready=False)
    assert waits(lonely, 1, ready=True, lived=HEALTHY_SECONDS + 1)[0] < 0.1
    assert waits(lonely, 1, ready=False)[0] == pytest.approx(BACKOFF_SECONDS[0], abs=0.02)


def test_after_thousands_of_deaths_there_is_still_a_next_one(lonely):
    for _ in range(3000):
        lonely.turn(BACKOFF_SECONDS[1])
        lonely.children[-1].process.die(70)
        lonely.turn()
    assert len(lonely.children) == 3000


# Watching


def test_one_that_is_not_ready_in_time_is_killed(house):
    house.turn()
    first, second = house.children
    second.begin()
    house.turn(BOOT_SECONDS)
    assert first.did[-1] != "kill"
    house.turn(0.1)
    assert first.did[-1] == "kill"
    assert "kill" not in second.did
    assert house.told("worker.boot_failed") == [{"worker": "worker-0", "message": "not ready after 60 s"}]


def test_one_whose_lease_lapsed_is_killed(house):
    first, second = house.begun()
    house.queue.end(first.worker, Casualty())
    house.supervisor.keeper.turn()
    house.turn()
    assert first.did[-1] == "kill"
    assert "kill" not in second.did
    assert house.told("worker.lapsed") == [{"worker": "worker-0"}]


def test_after_a_lapsed_one_was_reaped_its_slot_goes_on(house):
    first, _ = house.begun()
    house.queue.end(first.worker, Casualty())
    house.supervisor.keeper.turn()
    house.turn()
    house.turn(60)
    house.turn()
    assert house.supervisor.keeper.lapsed == set()
    assert house.children[-1].slot == 0


def test_deadlines_are_checked_in_every_turn(house):
    first, _ = house.begun()
    first.did.clear()
    house.turn(1)
    house.turn(1)
    assert first.did == [("checked", 1001.0), ("checked", 1002.0)]


def test_one_that_holds_too_much_memory_is_told_with_what_it_runs(house):
    first, _ = house.begun()
    first.swollen, first.running = True, "the one"
    house.turn(1)
    assert house.told("worker.too_big") == [{"worker": "worker-0", "transaction": "the one"}]


def test_an_overdue_one_is_told_with_what_it_runs(house):
    first, _ = house.begun()
    first.overdue, first.running = True, "the one"
    house.turn()
    assert house.told("worker.timed_out") == [{"worker": "worker-0", "transaction": "the one"}]


# Stopping


def test_to_stop_is_asked_of_all_and_waited_for(house):
    first, second = house.begun()
    house.supervisor.stop()
    assert (first.did[-1], second.did[-1]) == ("stop", "stop")
    assert house.supervisor.children == []
    assert first.closed
    assert second.closed


def test_one_that_does_not_stop_in_time_is_killed_and_what_it_held_put_back(house):
    first, second = house.begun()
    second.stubborn, house.ticks.step = True, 5
    house.supervisor.stop()
    assert "kill" not in first.did
    assert second.did[-1] == "kill"
    assert second.process.joined
    house.supervisor.keeper.turn()
    assert [worker for worker, _ in house.queue.ended] == ["worker-0", "worker-1"]


def test_one_that_died_just_before_is_reaped_all_the_same(house):
    first, _ = house.begun()
    first.process.die(1)
    house.supervisor.stop()
    assert first.closed
    assert house.supervisor.children == []


# Running


class Stop:
    """A stop flag that is set after so many looks, and never readable before."""

    def __init__(self, looks):
        self._looks = looks
        self._read, self._write = os.pipe()

    def is_set(self):
        self._looks -= 1
        return self._looks < 0

    def fileno(self):
        return self._read

    def clear(self):
        pass


class Neighbour:
    def __init__(self, house, does=lambda: None):
        self._house, self._does, self.watched = house, does, 0

    def watch(self):
        self.watched += 1
        self._does()

    def close(self):
        self._house.log.append("close neighbour")


def test_it_runs_until_told_to_stop_then_closes_the_neighbours_and_drains(house, monkeypatch):
    monkeypatch.setattr(supervisor_module, "TURN_SECONDS", 0.01)
    neighbour = Neighbour(house)
    house.supervisor.run(Stop(looks=3), beside=[neighbour])
    assert neighbour.watched == 3
    assert house.log == ["close neighbour", "stop worker-0", "stop worker-1"]
    assert [worker for worker, _ in house.queue.ended] == ["worker-0", "worker-1"]


def test_when_something_goes_wrong_the_workers_are_drained_all_the_same(house):
    def burn():
        raise RuntimeError("the neighbour is on fire")

    with pytest.raises(RuntimeError, match="on fire"):
        house.supervisor.run(Stop(looks=3), beside=[Neighbour(house, burn)])
    assert house.log == ["close neighbour", "stop worker-0", "stop worker-1"]
    assert [worker for worker, _ in house.queue.ended] == ["worker-0", "worker-1"]


@pytest.mark.parametrize("event", ["the death of one that is ready", "the word of a new one"])
def test_a_death_or_a_word_of_a_worker_ends_its_wait_at_once(lonely, monkeypatch, event):
    monkeypatch.setattr(supervisor_module, "TURN_SECONDS", 60)
    if event == "the word of a new one":
        lonely.turn()
        happen = lonely.children[0].begin
    else:
        (child,) = lonely.begun()
        happen = partial(child.process.die, 1)
    began = time.monotonic()
    lonely.supervisor.run(Stop(looks=1), beside=[Neighbour(lonely, happen)])
    assert time.monotonic() - began < 30


# What workers leave behind


def test_what_a_dead_worker_left_behind_is_ended_and_told_before_what_it_held_goes_back(lonely, monkeypatch):
    (child,) = lonely.begun()
    ended = lonely.supervisor.keeper.end
    monkeypatch.setattr(lonely.supervisor.keeper, "end", lambda *given: (lonely.log.append("give back"), ended(*given)))
    lonely.left_behind = ["sleep (77)"]
    child.process.die(SIGKILL)
    lonely.turn()
    assert lonely.log == ["end sleep (77)", "give back"]
    assert lonely.told("processes.left_behind") == [{"processes": ["sleep (77)"]}]


def test_where_nothing_was_left_behind_nothing_is_told(lonely):
    (child,) = lonely.begun()
    child.process.die(SIGKILL)
    lonely.turn()
    assert lonely.told("processes.left_behind") == []
