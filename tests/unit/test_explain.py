"""Why a transaction waits, in words: each circumstance has its sentence, and the one to act on comes first."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from transqueue.admin.explain import Ahead, Circumstances, Holder, explain, outlined
from transqueue.admin.pause import Pause, covers, pause_of
from transqueue.transaction import Lease, State, Transaction

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ONE = Transaction(id="1" * 21, type="invoice.pay", data={}, created_at=NOW, due_at=NOW, max_attempts=8)
PAUSE = Pause("cli:ann", NOW, "the bank is down")
FINE = Circumstances(id=ONE.id, now=NOW, transaction=ONE, workers=2, able=2, position=0)
BEHIND = Ahead(id="2" * 21, type="invoice.pay", state=State.RUNNING, due_at=NOW)


def told(**changes):
    """The explanation of a transaction that could run, with these circumstances changed."""
    of_one = {name: changes.pop(name) for name in list(changes) if name in Transaction.__dataclass_fields__}
    return explain(replace(FINE, transaction=replace(ONE, **of_one), **changes))


def codes(explanation):
    return [one.code for one in explanation.reasons]


def test_one_that_nothing_holds_back_is_next():
    assert codes(told()) == ["turn"]
    assert told().summary == "It is due, and next: a worker takes it within moments."


def test_its_turn_is_told_with_how_many_go_before_it():
    assert "about 7 due ones of the type invoice.pay" in told(position=7).summary
    assert "at least 1000" in told(position=1000).summary
    assert "in its lane" in told(position=7, ordering_key="ann").summary


def test_a_pause_tells_who_when_why_and_how_to_resume():
    found = told(pause=("invoice.pay", PAUSE))
    assert found.summary == "The type invoice.pay was paused by cli:ann at 2026-01-01 12:00:00 UTC: the bank is down."
    assert found.reasons[0].change == "Resume it: transqueue resume 'invoice.pay'."
    assert "The family invoice.*" in told(pause=("invoice.*", PAUSE)).summary


def test_one_without_any_worker_says_so():
    assert codes(told(workers=0, able=0)) == ["no_worker"]


def test_a_parked_one_says_why():
    found = told(able=0, parked="plugin 'bank' is broken")
    assert codes(found) == ["parked"]
    assert "plugin 'bank' is broken" in found.summary


def test_workers_that_do_not_say_what_they_process_make_nothing_parked():
    assert codes(told(able=None)) == ["turn"]
    assert codes(told(able=None, parked="plugin 'bank' is broken")) == ["parked"]


@pytest.mark.parametrize(
    ("ahead", "words"),
    [
        (BEHIND, "is running"),
        (replace(BEHIND, state=State.DEAD), "is dead and blocks its key"),
        (replace(BEHIND, state=State.QUEUED), "waits too"),
        (replace(BEHIND, state=State.QUEUED, due_at=NOW + timedelta(minutes=5)), "is to be tried again at"),
        (replace(BEHIND, state=State.QUEUED, pause=("invoice.*", PAUSE)), "that cli:ann paused, invoice.*"),
    ],
)
def test_one_behind_another_of_its_key_names_it_and_what_that_one_does(ahead, words):
    found = told(ahead=ahead, ordering_key="ann")
    assert codes(found) == ["behind"]
    assert found.summary.startswith(f"It waits behind {'2' * 21} of its ordering key 'ann', which")
    assert words in found.summary
    assert found.reasons[0].change


def test_a_start_time_and_a_retry_are_told_apart():
    later = NOW + timedelta(seconds=90)
    error = {"type": "ValueError", "message": "no"}
    assert "as its submitter asked" in told(due_at=later).summary
    assert "attempt 2 failed (ValueError: no)" in told(due_at=later, attempts=2, error=error).summary
    assert "its handler said later" in told(due_at=later, deferred_since=NOW).summary
    assert "in 90 s" in told(due_at=later).summary


def test_every_reason_is_told_and_the_pause_comes_first():
    later = NOW + timedelta(hours=3)
    found = told(pause=("invoice.pay", PAUSE), workers=0, able=0, due_at=later, alone=True)
    assert codes(found) == ["type_paused", "no_worker", "not_due", "alone"]


def test_a_running_one_names_its_worker_and_since_when():
    running = {"state": State.RUNNING, "lease": Lease("token", "w", NOW)}
    found = told(**running, holder=Holder(id="w", host="db1", pid=7, live=True))
    assert codes(found) == ["running"]
    assert "pid 7 on db1 since 2026-01-01 12:00:00 UTC, for attempt 1" in found.summary
    assert codes(told(**running, holder=Holder(id="w"))) == ["rescue"]


def test_an_ended_one_says_how_it_ended():
    ended = {"finished_at": NOW, "error": {"type": "Reject", "message": "no funds"}}
    assert codes(told(state=State.DONE)) == ["done"]
    assert codes(told(state=State.CANCELLED)) == ["cancelled"]
    assert "rejected it at 2026-01-01 12:00:00 UTC: Reject: no funds" in told(state=State.REJECTED, **ended).summary
    dead = told(state=State.DEAD, ordering_key="ann", attempts=8, **ended)
    assert "after 8 of 8 attempts" in dead.summary
    assert "holds back its ordering key" in dead.summary
    assert "transqueue retry" in dead.reasons[0].change


def test_a_newer_format_is_told_with_the_cure():
    found = explain(Circumstances(id=ONE.id, now=NOW, transaction=None, version=9))
    assert codes(found) == ["newer_format"]
    assert "format 9" in found.summary
    assert "Upgrade" in found.reasons[0].change


def test_in_outline_nothing_of_others_is_told():
    found = told(pause=("invoice.pay", PAUSE), ahead=BEHIND, ordering_key="ann", able=0, parked="secret")
    outline = outlined(found)
    assert codes(outline) == codes(found)
    text = repr(outline)
    assert not any(secret in text for secret in ("cli:ann", "2" * 21, "secret", "the bank is down"))


def test_a_pause_holds_for_its_type_or_its_whole_family():
    assert covers("a", "a")
    assert covers("a.*", "a.b")
    assert not covers("a.*", "a")
    assert not covers("a", "a.b")
    assert not covers("a.*", "ab.c")
    paused = {"a.*": PAUSE, "a.b": Pause("local", NOW), "a.b.*": PAUSE}
    assert pause_of("a.b", paused) == ("a.b", Pause("local", NOW))
    assert pause_of("a.b.c", paused) == ("a.b.*", PAUSE)
    assert pause_of("b", paused) is None
