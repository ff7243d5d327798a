"""A worker process as its supervisor sees it, with a stand-in for the process itself."""

from __future__ import annotations

import multiprocessing
import os
import signal
from multiprocessing.connection import Connection

import pytest

from transqueue.config import Config, WorkersConfig
from transqueue.process.lifeline import boot_time
from transqueue.queue import Casualty
from transqueue.supervisor import child as child_module
from transqueue.supervisor.child import LEAVE_SECONDS, TERMINATE_GRACE_SECONDS, Child
from transqueue.worker.process import EXIT_BOOT_FAILED, EXIT_TRACK_LOST, work

ID, OTHER = "1" * 21, "2" * 21
SPAWNED, LEASE = 1000.0, 30.0


class FakeProcess:
    """What stands in for the worker: it does what the test does."""

    def __init__(self, target, args, name):
        self.target, self.name, (self.assignment,) = target, name, args
        self.exitcode, self.sent, self.joined, self.pid = None, [], False, 1234

    def start(self):
        self.link = Connection(os.dup(self.assignment.link.fileno()))

    def terminate(self):
        self.sent.append("terminate")

    def kill(self):
        self.sent.append("kill")

    def join(self):
        self.joined = True

    @property
    def marker(self):
        return self.assignment.marker

    def die(self, exitcode):
        self.exitcode = exitcode
        self.link.close()


class FakeSpawn:
    Process = FakeProcess
    Pipe = staticmethod(multiprocessing.Pipe)


@pytest.fixture
def child(monkeypatch):
    monkeypatch.setattr(child_module, "_spawn", FakeSpawn)
    config = Config(workers=WorkersConfig(lease_seconds=LEASE))
    child = Child(config, "mongodb://here", 3, now=SPAWNED, log_json=True)
    yield child
    child.process.link.close()
    child.close()


@pytest.fixture
def process(child):
    return child.process


def run(process, id=ID, *, deadline=SPAWNED + 100, timeout=20.0):
    """The worker's handler begins to run."""
    process.marker.running(id, deadline=deadline, timeout_seconds=timeout)


def test_the_process_is_handed_all_that_it_needs(child, process):
    given = process.assignment
    assert process.target is work
    assert (given.worker, given.slot, given.uri, given.log_json) == (child.worker, 3, "mongodb://here", True)
    assert given.supervisor == os.getpid()
    assert given.config.workers.lease_seconds == LEASE


def test_each_start_is_a_new_worker(child, monkeypatch):
    again = Child(Config(), "", 3, now=SPAWNED, log_json=True)
    assert again.worker != child.worker
    again.process.link.close()
    again.close()


# Ready, renewed, gone


def test_it_is_ready_once_it_said_so_and_says_so_once(child, process):
    assert (child.listen(), child.is_ready) == (False, False)
    process.link.send({"lame": "why"})
    assert (child.listen(), child.is_ready) == (True, True)
    assert (child.listen(), child.is_ready) == (False, True)


def test_one_that_ended_before_it_was_ready_says_nothing(child, process):
    process.die(1)
    assert (child.listen(), child.is_ready) == (False, False)


def test_a_renewal_reaches_the_process(child, process):
    child.renewed(1234.5, now=SPAWNED)
    assert child.alarm_at == process.link.recv() == 1234.5


def test_renewing_one_that_is_gone_is_no_trouble(child, process):
    process.die(-signal.SIGKILL)
    child.renewed(1.0, now=SPAWNED)
    child.renewed(2.0, now=SPAWNED)
    assert child.alarm_at == 2.0


def test_closing_forgets_the_process_and_its_link(child, process):
    process.die(0)
    child.close()
    assert process.joined
    assert child.link.closed


# A handler that overruns its limit


def test_idle_is_never_overdue(child, process):
    process.marker.idle()
    assert not child.check_deadline(boot_time() + 10**9)
    assert process.sent == []


def test_a_half_written_mark_is_idle_whatever_deadline_was_there_before(child, process):
    run(process, deadline=500)
    with pytest.raises(ValueError, match="bytes too long"):
        run(process, "9" * 33)
    assert not child.check_deadline(501)


def test_one_within_its_limit_is_left_alone(child, process):
    run(process, deadline=500)
    assert not child.check_deadline(500)
    assert process.sent == []


@pytest.mark.parametrize("doing", ["running", "group"])
def test_an_overdue_one_is_asked_to_end_and_noticed_once(child, process, doing):
    if doing == "running":
        run(process, deadline=500)
    else:
        process.marker.group(deadline=500, timeout_seconds=20)
    assert [child.check_deadline(501 + step / 10) for step in range(3)] == [True, False, False]
    assert process.sent == ["terminate"]


def test_after_the_grace_it_is_killed(child, process):
    run(process, deadline=500)
    child.check_deadline(501)
    child.check_deadline(501 + TERMINATE_GRACE_SECONDS)
    assert process.sent == ["terminate"]
    child.check_deadline(501 + TERMINATE_GRACE_SECONDS + 0.1)
    assert process.sent == ["terminate", "kill"]


def test_it_is_not_killed_when_its_handler_ended_in_the_grace(child, process):
    run(process, deadline=500)
    child.check_deadline(501)
    process.marker.idle()
    assert not child.check_deadline(501 + TERMINATE_GRACE_SECONDS + 0.1)
    assert process.sent == ["terminate"]


def test_one_that_ended_its_handler_but_never_leaves_is_killed_in_the_end(child, process):
    run(process, deadline=500)
    child.check_deadline(501)
    process.marker.group()  # it settles, for ever
    child.check_deadline(501 + LEAVE_SECONDS)
    assert process.sent == ["terminate"]
    child.check_deadline(501 + LEAVE_SECONDS + 0.1)
    assert process.sent == ["terminate", "kill"]


def test_the_next_handler_may_be_overdue_as_well(child, process):
    run(process, deadline=500)
    child.check_deadline(501)
    run(process, OTHER, deadline=502)
    assert child.check_deadline(503)
    child.check_deadline(503 + TERMINATE_GRACE_SECONDS + 0.1)
    assert process.sent == ["terminate", "terminate", "kill"]


# What it died of


def test_only_the_one_that_ran_is_charged(child, process):
    run(process, OTHER)
    run(process, ID)
    process.die(-signal.SIGSEGV)
    assert child.casualty(SPAWNED) == Casualty(
        running=ID, reason="its worker died while running it (killed by SIGSEGV)"
    )


@pytest.mark.parametrize("exitcode", [0, 1, -signal.SIGKILL])
def test_a_handler_that_ends_its_process_is_charged_however_it_does(child, process, exitcode):
    run(process)
    process.die(exitcode)
    assert child.casualty(SPAWNED).running == ID


def test_of_a_group_nobody_is_charged_but_its_members_run_alone(child, process):
    process.marker.group()
    process.die(-signal.SIGKILL)
    casualty = child.casualty(SPAWNED)
    assert (casualty.running, casualty.group) == (None, True)


@pytest.mark.parametrize("exitcode", [0, 1, EXIT_TRACK_LOST, EXIT_BOOT_FAILED, -signal.SIGKILL])
def test_nobody_is_charged_when_nothing_ran(child, process, exitcode):
    process.marker.idle()
    process.die(exitcode)
    casualty = child.casualty(SPAWNED)
    assert (casualty.running, casualty.group) == (None, False)


@pytest.mark.parametrize("exitcode", [-signal.SIGKILL, -signal.SIGTERM, 1])
def test_nobody_is_charged_when_it_was_told_to_stop(child, process, exitcode):
    run(process)
    child.stop()
    assert process.sent == ["terminate"]
    process.die(exitcode)
    assert child.casualty(SPAWNED) == Casualty()


def test_nobody_is_charged_when_its_lease_ended(child, process):
    run(process)
    child.renewed(SPAWNED + 50, now=SPAWNED + 23)
    process.die(-signal.SIGKILL)
    assert child.casualty(SPAWNED + 50) == Casualty()


def test_nobody_is_charged_when_its_first_lease_ended_before_any_renewal(child, process):
    run(process)
    process.die(-signal.SIGKILL)
    assert child.casualty(SPAWNED + LEASE) == Casualty()


def test_who_is_killed_before_the_alarm_is_charged(child, process):
    run(process)
    child.renewed(SPAWNED + 50, now=SPAWNED + 23)
    process.die(-signal.SIGKILL)
    assert child.casualty(SPAWNED + 49.9).running == ID


def test_a_crash_is_not_the_alarm_however_late_it_is_seen(child, process):
    run(process)
    child.renewed(SPAWNED + 50, now=SPAWNED + 23)
    process.die(-signal.SIGSEGV)
    assert child.casualty(SPAWNED + 60).running == ID


def begin(process):
    """The worker begins its lease, and sets its alarm."""
    process.marker.alarm_at = SPAWNED + 1 + LEASE * 0.9


def renew(child, process, *, at, heard):
    """The lease is renewed at a moment, and the worker hears of it or not."""
    child.renewed(at + LEASE * 0.9, now=at)
    if heard:
        process.marker.alarm_at = at + LEASE * 0.9


def test_nobody_is_charged_when_the_lease_was_renewed_too_late_for_the_worker_to_hear(child, process):
    begin(process)
    run(process)
    renew(child, process, at=SPAWNED + 5, heard=True)
    renew(child, process, at=SPAWNED + 31.9, heard=False)  # 0.1 s before the alarm: the database was away
    process.die(-signal.SIGKILL)
    assert child.casualty(SPAWNED + 32.1) == Casualty(ending="its lease could not be renewed")


def test_a_handler_that_lets_its_worker_hear_nothing_for_a_whole_lease_is_charged_with_that(child, process):
    begin(process)
    run(process)
    renew(child, process, at=SPAWNED + 5, heard=True)
    for at in range(10, 30, 5):
        renew(child, process, at=SPAWNED + at, heard=False)
    process.die(-signal.SIGKILL)
    casualty = child.casualty(SPAWNED + 32.1)
    assert casualty.running == ID
    assert casualty.reason == (
        "its worker did not take in that its lease was renewed for 22 s, while running it, and was killed by its alarm"
    )


def test_one_that_was_deaf_and_heard_again_is_not_deaf_any_more(child, process):
    begin(process)
    run(process)
    renew(child, process, at=SPAWNED + 5, heard=False)
    renew(child, process, at=SPAWNED + 10, heard=True)
    renew(child, process, at=SPAWNED + 36.9, heard=False)
    process.die(-signal.SIGKILL)
    assert child.casualty(SPAWNED + 37.1).running is None


def test_one_that_is_killed_before_the_alarm_that_it_set_is_charged_as_ever(child, process):
    begin(process)
    run(process)
    renew(child, process, at=SPAWNED + 5, heard=True)
    process.die(-signal.SIGKILL)
    casualty = child.casualty(SPAWNED + 31)
    assert (casualty.running, casualty.reason) == (ID, "its worker died while running it (killed by SIGKILL)")


def test_a_killed_handler_is_told_its_limit(child, process):
    run(process, deadline=SPAWNED + 20)
    child.check_deadline(SPAWNED + 21)
    process.die(-signal.SIGKILL)
    assert child.casualty(SPAWNED + 24).reason == "its handler did not end within 20 s; the worker was killed"


def test_another_one_is_not_told_the_limit_of_the_first(child, process):
    run(process, deadline=SPAWNED + 20)
    child.check_deadline(SPAWNED + 21)
    run(process, OTHER)
    process.die(1)
    assert child.casualty(SPAWNED + 22).reason == "its worker died while running it (exit code 1)"


@pytest.mark.parametrize(
    ("exitcode", "words"),
    [
        (0, "exit code 0"),
        (1, "exit code 1"),
        (-signal.SIGKILL, "killed by SIGKILL"),
        (-250, "exit code -250"),
        (EXIT_BOOT_FAILED, "it could not start"),
        (EXIT_TRACK_LOST, "it lost track"),
    ],
)
def test_how_it_ended_is_said_in_words(child, process, exitcode, words):
    process.die(exitcode)
    assert child.ending == words


# For real


def test_a_real_process_whose_database_is_refused_ends_and_says_so():
    child = Child(Config(), "mongodb://127.0.0.1/?w=1", 0, now=boot_time(), log_json=True)
    try:
        child.process.join(60)
        assert (child.process.exitcode, child.ending) == (EXIT_BOOT_FAILED, "it could not start")
        assert not child.listen()
        assert child.casualty(boot_time()).running is None
    finally:
        child.kill()
        child.close()


# Too big


def held(monkeypatch, mib):
    monkeypatch.setattr(child_module, "resident_bytes", lambda pid: mib * child_module.MIB, raising=True)


@pytest.mark.parametrize(("mib", "limit"), [(100, 0), (100, 100), (100, 101)])
def test_one_within_its_memory_is_left_alone(child, process, monkeypatch, mib, limit):
    held(monkeypatch, mib)
    run(process)
    assert not child.check_memory(limit)
    assert process.sent == []


def test_one_that_holds_too_much_is_killed_once_and_what_ran_is_charged_with_it(child, process, monkeypatch):
    held(monkeypatch, 300)
    run(process)
    assert [child.check_memory(256) for _ in range(3)] == [True, False, False]
    assert process.sent == ["kill"]
    process.die(-signal.SIGKILL)
    casualty = child.casualty(SPAWNED)
    assert casualty.running == ID
    assert casualty.reason == "its worker held 300 MiB of memory, more than workers.memory_mib: 256"


def test_one_that_holds_too_much_at_rest_is_asked_to_end_and_nothing_is_charged(child, process, monkeypatch):
    held(monkeypatch, 300)
    process.marker.idle()
    assert child.check_memory(256)
    assert process.sent == ["terminate"]
    process.die(0)
    assert child.casualty(SPAWNED).running is None
