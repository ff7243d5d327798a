"""What handlers raise to say how an attempt ends, and what it is inside."""

from __future__ import annotations

import dataclasses

import pytest

from transqueue.outcome import DEFER_EXPIRES_SECONDS, Outcome, Reject, RetryLater, Verb


def test_a_rejection_carries_its_reason_as_text():
    assert Reject("insufficient funds").reason == "insufficient funds"
    assert str(Reject(42)) == Reject(42).reason == "42"


def test_later_carries_when_and_for_how_long():
    later = RetryLater("the bank is closed", after_seconds=60)
    assert (later.reason, later.after_seconds) == ("the bank is closed", 60.0)
    assert later.expires_after_seconds == DEFER_EXPIRES_SECONDS == 7 * 24 * 3600
    assert str(RetryLater(after_seconds=2.5)) == "retry after 2.5 s"


def test_later_may_be_at_once():
    assert RetryLater(after_seconds=0).after_seconds == 0


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), float("-inf")])
def test_later_must_be_a_real_wait(seconds):
    with pytest.raises(ValueError, match="after_seconds must be a finite number, 0 or more"):
        RetryLater(after_seconds=seconds)


def test_later_must_be_said_by_name():
    with pytest.raises(TypeError):
        RetryLater("soon", 5)
    with pytest.raises(TypeError):
        RetryLater("soon")


def test_an_outcome_is_frozen_and_charged_unless_it_says_otherwise():
    outcome = Outcome(verb=Verb.COMPLETE, result=1)
    assert outcome.charged
    with pytest.raises(dataclasses.FrozenInstanceError):
        outcome.result = 2


def test_the_verbs_are_the_four_that_settle():
    assert [str(verb) for verb in Verb] == ["complete", "reject", "retry", "bury"]
