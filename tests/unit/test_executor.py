"""The executor: one attempt, or one of a group, and the mark that it leaves before each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from marshmallow import Schema, fields

from transqueue import Reject, RetryLater, handler
from transqueue.executor import Bound, Executor, is_completion
from transqueue.handlers import NoDatabase, marks
from transqueue.outcome import Verb
from transqueue.process.lifeline import boot_time
from transqueue.process.marker import Marker
from transqueue.testing import SettableClock
from transqueue.transaction import Transaction

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Conflict(Exception):
    """What the database raises to have a session run again."""


class Deposit(Schema):
    value = fields.Integer(required=True)


class Effects:
    """The database side of a session, as a test sets it."""

    def __init__(self, *, broken=False):
        self.db, self.writes, self.broken = SimpleNamespace(name="bank"), 0, broken

    def is_conflict(self, error):
        return isinstance(error, Conflict)


def transaction(number=1, **given):
    given = {"data": {"value": number}, "max_attempts": 3} | given
    return Transaction(id=str(number) * 21, type="t", created_at=NOW, due_at=NOW, **given)


def new_transaction(type, data, options):
    return Transaction(id="9" * 21, type=type, data=data, created_at=NOW, due_at=NOW, max_attempts=1)


@pytest.fixture
def marker():
    return Marker()


@pytest.fixture
def executor(marker):
    return Executor(
        clock=SettableClock(NOW),
        marker=marker,
        new_transaction=new_transaction,
        monotonic=lambda: 500.0,
        random=lambda: 1.0,
    )


def bound(function, config=None, **options):
    mark = marks(handler("t", **options)(function))[-1]
    return Bound(mark, mark.callable(config), config or {})


def test_a_handler_gets_its_transaction_and_a_context(executor):
    def work(transaction, context):
        return {"id": transaction.id, "attempt": transaction.attempt, "rate": context.config["rate"]}

    settled = executor.attempt(bound(work, {"rate": 2}), transaction(attempts=1))
    assert settled.outcome.result == {"id": "1" * 21, "attempt": 2, "rate": 2}
    assert is_completion(settled)


def test_the_deadline_is_the_monotonic_time_at_which_the_attempt_ends(executor):
    settled = executor.attempt(bound(lambda _, context: context.deadline, timeout_seconds=20), transaction())
    assert settled.outcome.result == 520.0


def test_data_is_loaded_by_the_schema_and_settled_as_it_was_stored(executor):
    stored = transaction(data={"value": "7"})
    settled = executor.attempt(bound(lambda given, _: given.data["value"] + 1, schema=Deposit), stored)
    assert settled.outcome.result == 8
    assert settled.transaction is stored


def test_data_that_the_schema_refuses_by_now_fails_the_attempt(executor):
    settled = executor.attempt(bound(lambda *_: None, schema=Deposit), transaction(data={"value": "many"}))
    assert settled.outcome.verb is Verb.RETRY
    assert settled.outcome.error["type"] == "ValidationError"


@pytest.mark.parametrize(
    ("error", "verb"),
    [
        (Reject("no"), Verb.REJECT),
        (RetryLater(after_seconds=5), Verb.RETRY),
        (ValueError("x"), Verb.RETRY),
        (SystemExit(0), Verb.RETRY),
        (KeyboardInterrupt(), Verb.RETRY),
    ],
)
def test_whatever_a_handler_raises_is_the_outcome_of_its_own_attempt(executor, error, verb):
    def work(transaction, context):
        raise error

    settled = executor.attempt(bound(work), transaction())
    assert settled.outcome.verb is verb
    assert not is_completion(settled)


def test_a_result_that_is_not_json_fails_the_attempt(executor):
    settled = executor.attempt(bound(lambda *_: {1, 2}), transaction())
    assert settled.outcome.verb is Verb.RETRY
    assert settled.outcome.error["type"] == "ResultRefused"


def test_follow_ups_go_with_a_completion_only(executor):
    def work(transaction, context):
        context.enqueue("mail", {"to": "ann"})
        if transaction.data["value"] > 1:
            raise ValueError("too late")

    first, second = (executor.attempt(bound(work), transaction(number)) for number in (1, 2))
    assert [(one.type, one.parent) for one in first.outcome.follow_ups] == [("mail", first.transaction.id)]
    assert second.outcome.follow_ups == ()


# The mark


def test_while_a_handler_runs_the_mark_names_it_and_its_deadline(executor, marker):
    seen = []
    before = boot_time()
    executor.attempt(bound(lambda *_: seen.append(marker.read()), timeout_seconds=20), transaction())
    (mark,) = seen
    assert (mark.doing, mark.id, mark.timeout_seconds) == ("running", "1" * 21, 20)
    assert before + 20 <= mark.deadline <= boot_time() + 20


def test_the_mark_stays_after_the_attempt_until_it_is_taken_away(executor, marker):
    executor.attempt(bound(lambda *_: None), transaction())
    assert marker.read().doing == "running"
    executor.unmark()
    assert (marker.read().doing, marker.read().id) == ("idle", None)


def test_while_a_group_runs_the_mark_names_nobody(executor, marker):
    seen = []

    def work(transactions, context):
        seen.append(marker.read())
        return [None] * len(transactions)

    executor.attempt_group(bound(work, batch=True, timeout_seconds=20), [transaction(1), transaction(2)])
    (mark,) = seen
    assert (mark.doing, mark.id, mark.timeout_seconds) == ("group", None, 20)
    assert mark.deadline <= boot_time() + 20


def test_a_group_of_one_is_marked_as_that_one(executor, marker):
    seen = []

    def work(transactions, context):
        seen.append(marker.read())
        return [None]

    executor.attempt_group(bound(work, batch=True), [transaction(1)])
    assert (seen[0].doing, seen[0].id) == ("running", "1" * 21)


def test_while_outcomes_are_settled_the_mark_has_no_deadline(executor, marker):
    executor.mark([transaction(1), transaction(2)])
    assert (marker.read().doing, marker.read().deadline) == ("group", float("inf"))


# Inside a session


def test_the_database_is_the_sessions_and_only_there(executor):
    work = bound(lambda _, context: context.db.name)
    assert executor.attempt(work, transaction(), Effects()).outcome.result == "bank"
    assert executor.attempt(work, transaction()).outcome.error["type"] == NoDatabase.__name__


def test_an_attempt_whose_session_the_database_ended_has_failed_though_it_returned(executor):
    settled = executor.attempt(bound(lambda *_: "well"), transaction(), Effects(broken=True))
    assert settled.outcome.verb is Verb.RETRY
    assert settled.outcome.error["type"] == "SessionEnded"
    assert "an error of PyMongo that the handler caught" in settled.outcome.error["message"]


def test_a_conflict_is_raised_on_so_that_the_session_runs_again(executor):
    def work(given, context):
        raise Conflict

    with pytest.raises(Conflict):
        executor.attempt(bound(work), transaction(), Effects())
    with pytest.raises(Conflict):
        executor.attempt_group(bound(work, batch=True), [transaction()], Effects())


def test_outside_a_session_nothing_is_a_conflict(executor):
    def work(transaction, context):
        raise Conflict

    assert executor.attempt(bound(work), transaction()).outcome.verb is Verb.RETRY


# A group at once


def group(executor, entries, count=3):
    """The outcomes of a group whose handler returned `entries`."""
    members = [transaction(number) for number in range(1, count + 1)]
    settled = executor.attempt_group(bound(lambda *_: entries, batch=True), members)
    assert [one.transaction for one in settled] == members
    return [one.outcome for one in settled]


def test_a_group_gives_one_entry_each_in_order(executor):
    outcomes = group(executor, ["a", None, {"c": 1}])
    assert [one.result for one in outcomes] == ["a", None, {"c": 1}]
    assert {one.verb for one in outcomes} == {Verb.COMPLETE}


def test_entries_may_come_from_a_generator(executor):
    assert [one.result for one in group(executor, (number for number in range(3)))] == [0, 1, 2]


def test_an_entry_may_be_a_rejection_or_a_later(executor):
    outcomes = group(executor, ["a", Reject("no"), RetryLater(after_seconds=5)])
    assert [one.verb for one in outcomes] == [Verb.COMPLETE, Verb.REJECT, Verb.RETRY]
    assert (outcomes[2].charged, outcomes[2].due_at) == (False, NOW + timedelta(seconds=5))


@pytest.mark.parametrize("entries", [[], ["a", "b"], ["a"] * 4, None, 5])
def test_a_wrong_number_of_entries_fails_the_whole_group(executor, entries):
    outcomes = group(executor, entries)
    assert {(one.verb, one.error["type"]) for one in outcomes} == {(Verb.RETRY, "TypeError")}


def test_the_message_says_how_many_entries_came_for_how_many(executor):
    assert "2 came for 3" in group(executor, ["a", "b"])[0].error["message"]


def test_an_entry_that_is_not_json_fails_the_whole_group(executor):
    assert [one.verb for one in group(executor, ["a", {1, 2}, "c"])] == [Verb.RETRY] * 3


def test_what_a_group_raises_fails_every_member_by_its_own_attempts(executor):
    def work(transactions, context):
        raise ValueError("down")

    members = [transaction(1), transaction(2, attempts=2, max_attempts=3)]
    outcomes = [one.outcome for one in executor.attempt_group(bound(work, batch=True), members)]
    assert [one.verb for one in outcomes] == [Verb.RETRY, Verb.BURY]


def followed(executor, *entries):
    """Per member, how many follow-ups go with it, when the group enqueued two and returned `entries`."""

    def work(transactions, context):
        context.enqueue("mail", {})
        context.enqueue("log", {})
        return entries

    members = [transaction(number) for number in range(1, len(entries) + 1)]
    settled = executor.attempt_group(bound(work, batch=True), members)
    assert all(new.parent == one.transaction.id for one in settled for new in one.outcome.follow_ups)
    return [len(one.outcome.follow_ups) for one in settled]


def test_a_groups_follow_ups_go_with_its_first_completion(executor):
    assert followed(executor, "a", "b") == [2, 0]
    assert followed(executor, RetryLater(after_seconds=1), Reject("no"), "c", "d") == [0, 0, 2, 0]


def test_a_group_without_a_completion_has_no_follow_ups(executor):
    assert followed(executor, RetryLater(after_seconds=1), Reject("no")) == [0, 0]
