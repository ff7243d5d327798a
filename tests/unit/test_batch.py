"""What was leased together, worked off: with the queue in memory, a clock that tests move, and the real executor."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from transqueue import Reject, RetryLater, handler
from transqueue.errors import QueueUnavailable, TrackLost
from transqueue.events import Events
from transqueue.executor import Bound, Executor
from transqueue.handlers import marks
from transqueue.process.marker import Marker
from transqueue.queue import WorkerRecord
from transqueue.testing import MemoryQueue, SettableClock
from transqueue.transaction import Stamp, State, Transaction, TransactionIds, keyed_lane
from transqueue.worker.batch import FLUSH_SECONDS, HOLD_SECONDS, Batches
from transqueue.worker.pace import Pace
from transqueue.worker.session_run import SESSION_SECONDS


class Ticks:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds

    def pass_(self, seconds: float) -> None:
        self.seconds += seconds


class Conflict(Exception):
    """What the database raises to have a session run again."""


class ForcedEffects:
    """The effects of a session in memory, that a test may break as a database does."""

    def __init__(self, effects: Any) -> None:
        self._effects, self.broken = effects, False
        self.db = effects.db

    @property
    def writes(self) -> int:
        return self._effects.writes

    def is_conflict(self, error: BaseException) -> bool:
        return isinstance(error, Conflict)


class SpyQueue(MemoryQueue):
    """A queue in memory that tells what was asked of it, and whose sessions conflict and break when told to."""

    def __init__(self, tell: Callable[..., None]) -> None:
        super().__init__(SettableClock())
        self.tell = tell
        self.session: ForcedEffects | None = None

    def settle(self, settlements):
        lost = super().settle(settlements)
        self.tell("settled", *(one.transaction.data["n"] for one in settlements))
        return lost

    def settle_in_session(self, perform, *, timeout_seconds):
        for _ in range(5):  # times within the deadline
            try:
                return super().settle_in_session(lambda effects: self._perform(perform, effects), timeout_seconds=1)
            except Conflict:
                self.tell("conflict")
        raise QueueUnavailable(f"conflicts for {timeout_seconds:g} s")

    def _perform(self, perform, effects):
        self.session = ForcedEffects(effects)
        settlements = perform(self.session)
        if self.session.broken:
            raise Conflict  # there is no such session any more
        self.tell("committing", *(one.transaction.data["n"] for one in settlements))
        return settlements

    def release(self, transactions):
        super().release(transactions)
        if transactions:
            self.tell("released", *(one.data["n"] for one in transactions))


class House:
    """A worker's inside, and what happened in it, in order."""

    def __init__(self) -> None:
        self.log: list[tuple[Any, ...]] = []
        self.marks: list[tuple[Any, ...]] = []
        self.heard: list[Any] = []
        self.ticks, self.marker, self.pace = Ticks(), Marker(), Pace()
        self.queue = SpyQueue(self.tell)
        self._ids, self._workers = TransactionIds(), count(1)
        executor = Executor(
            clock=self.queue.clock,
            marker=self.marker,
            new_transaction=lambda type, data, _options: self.new(type, **data),  # noqa: A006
            monotonic=self.ticks,
            random=lambda: 1.0,
        )
        events = Events(self.heard.append)
        self.batches = Batches(self.queue, executor, events=events, pace=self.pace, monotonic=self.ticks)

    def tell(self, what: str, *numbers: Any) -> None:
        """Write down what happened, and the mark at that moment."""
        self.log.append((what, *numbers))
        self.marks.append((what, self.marker.read().doing))

    def new(self, type: str = "t", **data: Any) -> Transaction:
        now = self.queue.clock.now()
        return Transaction(id=self._ids.next(now), type=type, data=data, created_at=now, due_at=now, max_attempts=2)

    def lease(self, size: int) -> list[Transaction]:
        """Enqueue so many transactions numbered from 1, and lease them together."""
        self.queue.enqueue([self.new(n=number + 1) for number in range(size)])
        return self.lease_again()

    def lease_keys(self, keys: str, **fields: Any) -> list[Transaction]:
        """As `lease`, one transaction for each letter, which is its ordering key."""
        for number, key in enumerate(keys):
            new = replace(self.new(n=number + 1), ordering_key=key, plugin=Stamp("p", "1"), **fields)
            self.queue.enqueue([replace(new, lane=keyed_lane("p", key))])
        leased = list(self.queue.lease_in_order(self._worker(), "p", ["t"], limit=100))
        assert [n(one) for one in leased] == list(range(1, len(keys) + 1))
        return leased

    def lease_again(self, limit: int = 100) -> list[Transaction]:
        return list(self.queue.lease(self._worker(), "t", limit=limit))

    def _worker(self) -> str:
        worker = f"worker-{next(self._workers)}"
        self.queue.begin(WorkerRecord(id=worker, host="here", pid=1, slot=0), lease_seconds=600)
        return worker

    def run(self, function: Callable[..., Any], size: int = 3, *, stopping=lambda: False, **options: Any) -> None:
        """Work a new lease off with a handler."""
        self.work_off(function, self.lease(size), stopping=stopping, **options)

    def work_off(self, function: Callable[..., Any], leased, *, stopping=lambda: False, **options: Any) -> None:
        made = bound(function, **options)
        self.batches.work_off(lambda _: made, leased, stopping=stopping)

    def all(self, type: str = "t") -> list[Transaction]:
        found = self.queue.page(type=type, limit=200).transactions
        return sorted(found, key=lambda one: one.data.get("n", 0))

    def states(self) -> list[str]:
        return [str(one.state) for one in self.all()]

    def attempts(self) -> list[int]:
        return [one.attempts for one in self.all()]

    def bank(self) -> list[Any]:
        """What was committed."""
        return sorted(document["_id"] for document in self.queue.database["Bank"].find())

    def happened(self, *kinds: str) -> list[tuple[Any, ...]]:
        return [entry for entry in self.log if entry[0] in kinds]

    def told(self) -> list[tuple[Any, ...]]:
        """The events: name, and count or the number of the transaction."""
        numbers = {one.id: one.data["n"] for one in self.all()}
        return [(one.name, one.facts.get("count") or numbers[one.facts["transaction"]]) for one in self.heard]


def bound(function: Callable[..., Any], **options: Any) -> Bound:
    def named(given: Any, context: Any) -> Any:
        return function(given, context)

    (mark,) = marks(handler("t", **options)(named))
    return Bound(mark, mark.target, {})


@pytest.fixture
def house() -> House:
    return House()


def n(transaction: Transaction) -> int:
    return transaction.data["n"]


def write(context: Any, transaction: Transaction) -> None:
    context.db["Bank"].insert_one({"_id": n(transaction)})


# One by one


def test_each_outcome_is_settled(house):
    def work(transaction, context):
        match n(transaction):
            case 1:
                return "well"
            case 2:
                raise Reject("no")
            case 3:
                raise RetryLater(after_seconds=60)
            case 4:
                raise ValueError("down")

    house.run(work, 4)
    assert house.states() == ["done", "rejected", "queued", "queued"]
    assert house.attempts() == [1, 1, 0, 1]
    assert [one.result for one in house.all()] == ["well", None, None, None]
    assert [one.error and one.error["type"] for one in house.all()] == [None, "Reject", "RetryLater", "ValueError"]


def test_one_raising_handler_does_not_stop_the_others(house):
    def work(transaction, context):
        if n(transaction) in (1, 3):
            raise SystemExit(1)

    house.run(work, 5)
    assert house.states() == ["queued", "done", "queued", "done", "done"]


def test_the_last_failure_buries(house):
    def work(transaction, context):
        raise ValueError("never")

    house.run(work, 1)
    house.queue.clock.advance(1000)
    house.work_off(work, house.lease_again())
    assert (house.states(), house.attempts()) == (["dead"], [2])
    assert house.told() == [("transaction.retried", 1), ("transaction.buried", 1)]


def test_what_happened_is_told_completions_as_one_and_the_others_each(house):
    def work(transaction, context):
        if n(transaction) > 3:
            raise Reject("no") if n(transaction) == 4 else ValueError("down")

    house.pace.learn("t", 1, 0.001)
    house.run(work, 5)
    assert house.told() == [("transactions.completed", 3), ("transaction.rejected", 4), ("transaction.retried", 5)]
    assert house.heard[2].facts["message"] == "down"


def test_follow_ups_are_enqueued_with_the_completion_only(house):
    def work(transaction, context):
        context.enqueue("mail", {"to": n(transaction)})
        if n(transaction) == 2:
            raise ValueError("too late")

    house.run(work, 3)
    assert sorted(one.data["to"] for one in house.all("mail")) == [1, 3]


def test_who_was_lost_meanwhile_is_told_and_nothing_is_written_for_it(house):
    leased = house.lease(3)

    def work(transaction, context):
        if n(transaction) == 2:
            house.queue.release([leased[1]])  # as a rescue would

    house.pace.learn("t", 1, 0.001)
    house.work_off(work, leased)
    assert house.states() == ["done", "queued", "done"]
    assert house.told() == [("transactions.completed", 2), ("lease.lost", 2)]


def test_a_lost_track_ends_the_work_at_once(house):
    def lose(settlements):
        raise TrackLost

    house.queue.settle = lose
    with pytest.raises(TrackLost):
        house.run(lambda *_: None, 3)


# When outcomes are settled


def paced(house, seconds):
    """A handler of a known pace, that tells when it ran."""
    house.pace.learn("t", 1, seconds)

    def work(transaction, context):
        house.ticks.pass_(seconds)
        house.tell("ran", n(transaction))

    return work


def test_fast_ones_are_settled_together(house):
    house.run(paced(house, 0.001), 5)
    assert house.happened("settled") == [("settled", 1, 2, 3, 4, 5)]


def test_none_waits_for_one_that_is_expected_to_be_slow(house):
    house.run(paced(house, 0.05), 3)
    assert house.log == [("ran", 1), ("settled", 1), ("ran", 2), ("settled", 2), ("ran", 3), ("settled", 3)]


def test_no_outcome_waits_longer_than_the_flush_interval(house):
    work = paced(house, 0.001)
    ended, waits = {}, []

    def timed(transaction, context):
        work(transaction, context)
        ended[n(transaction)] = house.ticks()

    def tell(what, *numbers):
        if what == "settled":
            waits.extend(house.ticks() - ended[number] for number in numbers)

    house.queue.tell = tell
    house.run(timed, 50)
    assert len(waits) == 50
    assert max(waits) <= FLUSH_SECONDS + 1e-9
    assert max(waits) > FLUSH_SECONDS / 2


def test_slow_settling_does_not_make_a_fast_handler_look_slow(house):
    settle = house.queue.settle

    def slowly(settlements):
        house.ticks.pass_(0.05)
        return settle(settlements)

    house.queue.settle = slowly
    work = paced(house, 0.0001)
    house.pace.learn("t", 1, 0.05)
    for _ in range(30):
        house.run(work, 10)
    assert house.happened("settled")[-1] == ("settled", *range(1, 11))
    assert house.pace.limit("t") >= 40


@pytest.mark.parametrize(("seconds", "is_kept"), [(0.01, False), (0.0001, True)], ids=["slow", "fast"])
def test_what_slow_handlers_leave_behind_does_not_wait_for_the_collector(house, seconds, is_kept):
    class Heavy:
        """It holds itself."""

        def __init__(self):
            self.itself = self

    left = []

    def work(_transaction, _context):
        left.append(weakref.ref(Heavy()))
        house.ticks.pass_(seconds)

    gc.disable()
    try:
        house.run(work)
        assert [one() is not None for one in left] == [is_kept] * 3
    finally:
        gc.enable()


def test_an_unknown_handler_is_taken_for_slow(house):
    house.run(lambda transaction, context: house.tell("ran", n(transaction)), 2)
    assert house.log == [("ran", 1), ("settled", 1), ("ran", 2), ("settled", 2)]


def test_a_slow_lease_gives_back_what_was_not_started(house):
    house.run(paced(house, 0.6), 5)
    assert house.happened("released") == [("released", 3, 4, 5)]
    assert house.states() == ["done", "done", "queued", "queued", "queued"]
    assert house.attempts() == [1, 1, 0, 0, 0]
    assert [one.data["n"] for one in house.lease_again()] == [3, 4, 5]


def test_stopping_gives_back_uncharged_what_was_not_started(house):
    ran = []
    house.run(lambda transaction, context: ran.append(n(transaction)), 3, stopping=lambda: len(ran) == 1)
    assert ran == [1]
    assert (house.states(), house.attempts()) == (["done", "queued", "queued"], [1, 0, 0])


@pytest.mark.parametrize("options", [{}, {"batch": True}, {"transactional": True}])
def test_one_that_is_to_stop_starts_nothing(house, options):
    house.run(lambda *_: pytest.fail("it ran"), 3, stopping=lambda: True, **options)
    assert (house.states(), house.attempts()) == (["queued"] * 3, [0] * 3)


def test_the_pace_is_learned_from_what_was_worked_off(house):
    house.run(paced(house, 0.4), 5)
    assert house.pace.seconds("t") == pytest.approx(0.4)


# The mark


def test_nothing_is_marked_when_the_work_is_done(house):
    for options in ({}, {"transactional": True}):
        house.run(lambda *_: None, 2, **options)
        assert house.marker.read().doing == "idle"


def test_while_outcomes_are_settled_a_death_is_that_of_the_group_or_of_the_only_one(house):
    house.run(paced(house, 0.001), 2)
    assert house.marks == [("ran", "running"), ("ran", "running"), ("settled", "group")]
    house.marks.clear()
    house.run(paced(house, 0.001), 1)
    assert house.marks == [("ran", "running"), ("settled", "running")]


def test_while_a_session_is_committed_a_death_is_that_of_the_group_or_of_the_only_one(house):
    house.run(lambda *_: None, 2, transactional=True)
    house.run(lambda *_: None, 1, transactional=True)
    assert house.marks == [("committing", "group"), ("committing", "running")]


def test_nothing_is_marked_while_the_rest_is_given_back(house):
    house.run(paced(house, 0.6), 3)
    assert ("released", "idle") in house.marks


# Transactional


def test_effects_commit_together_with_the_completions(house):
    def work(transaction, context):
        write(context, transaction)
        house.tell("ran", n(transaction), *house.bank())

    house.run(work, 3, transactional=True)
    assert house.log == [("ran", 1), ("ran", 2), ("ran", 3), ("committing", 1, 2, 3)]
    assert house.bank() == [1, 2, 3]
    assert house.states() == ["done"] * 3
    assert house.told() == [("transactions.completed", 3)]


def test_follow_ups_commit_with_the_effects(house):
    def work(transaction, context):
        context.enqueue("mail", {"to": n(transaction)})
        write(context, transaction)
        if n(transaction) == 2:
            raise ValueError("after all")

    house.run(work, 3, transactional=True)
    assert house.bank() == sorted(one.data["to"] for one in house.all("mail")) == [1, 3]


def test_raising_before_any_write_costs_nothing(house):
    def work(transaction, context):
        house.tell("ran", n(transaction))
        if n(transaction) == 2:
            raise Reject("insufficient funds")
        write(context, transaction)

    house.run(work, 3, transactional=True)
    assert house.log == [("ran", 1), ("ran", 2), ("ran", 3), ("committing", 1, 3), ("settled", 2)]
    assert house.bank() == [1, 3]
    assert house.states() == ["done", "rejected", "done"]


@pytest.mark.parametrize(("error", "state"), [(ValueError("x"), "queued"), (Reject("no"), "rejected")])
def test_raising_after_a_write_discards_and_only_the_raiser_runs_again_alone(house, error, state):
    def work(transaction, context):
        house.tell("ran", n(transaction))
        write(context, transaction)
        if n(transaction) == 2:
            raise error

    house.run(work, 3, transactional=True)
    assert house.log == [
        ("ran", 1),
        ("ran", 2),  # which spoils the session
        ("ran", 2),  # alone
        ("settled", 2),
        ("ran", 1),
        ("ran", 3),
        ("committing", 1, 3),
    ]
    assert house.bank() == [1, 3]
    assert house.states() == ["done", state, "done"]
    assert house.attempts() == [1, 1, 1]


def test_one_that_raised_after_a_write_may_well_succeed_alone(house):
    def work(transaction, context):
        write(context, transaction)
        if n(transaction) == 2 and len(house.happened("once")) == 0:
            house.tell("once")
            raise ValueError("for once")

    house.run(work, 3, transactional=True)
    assert house.bank() == [1, 2, 3]
    assert (house.states(), house.attempts()) == (["done"] * 3, [1] * 3)


def test_several_spoilers_each_run_again_alone(house):
    def work(transaction, context):
        write(context, transaction)
        if n(transaction) in (2, 3):
            raise ValueError("after a write")

    house.run(work, 4, transactional=True)
    assert house.bank() == [1, 4]
    assert (house.states(), house.attempts()) == (["done", "queued", "queued", "done"], [1] * 4)


def test_what_was_decided_on_discarded_writes_is_decided_again(house):
    def work(transaction, context):
        match n(transaction):
            case 1:  # it writes in its first run only
                if not house.happened("spoiled"):
                    write(context, transaction)
            case 2:
                if context.db["Bank"].count_documents({}):
                    raise Reject("somebody was here")
            case 3:
                house.tell("spoiled")
                write(context, transaction)
                raise ValueError("spoils the session")

    house.run(work, 3, transactional=True)
    assert house.bank() == []
    assert house.states() == ["done", "done", "queued"]


def test_an_error_that_the_handler_caught_but_that_broke_the_session_runs_again_alone_and_then_fails(house):
    def work(transaction, context):
        house.tell("ran", n(transaction))
        write(context, transaction)
        if n(transaction) == 2:
            house.queue.session.broken = True

    house.run(work, 3, transactional=True)
    assert house.happened("ran") == [("ran", 1), ("ran", 2), ("ran", 2), ("ran", 1), ("ran", 3)]
    assert house.bank() == [1, 3]
    assert house.states() == ["done", "queued", "done"]
    assert house.all()[1].error["type"] == "SessionEnded"


def test_one_that_raised_before_writing_but_broke_the_session_spoils_it_too(house):
    def work(transaction, context):
        house.tell("ran", n(transaction))
        if n(transaction) == 2:
            house.queue.session.broken = True
            raise ValueError("a read failed")
        write(context, transaction)

    house.run(work, 3, transactional=True)
    assert house.happened("ran") == [("ran", 1), ("ran", 2), ("ran", 2), ("ran", 1), ("ran", 3)]
    assert house.bank() == [1, 3]
    assert house.states() == ["done", "queued", "done"]


def test_a_lost_member_means_that_nothing_is_written_and_the_rest_is_done_again(house):
    leased = house.lease(3)

    def work(transaction, context):
        write(context, transaction)
        if n(transaction) == 2:
            house.queue.release([leased[1]])  # as a rescue would

    house.work_off(work, leased, transactional=True)
    assert house.happened("committing") == [("committing", 1, 2, 3), ("committing", 1, 3)]
    assert house.bank() == [1, 3]
    assert house.states() == ["done", "queued", "done"]
    assert house.told() == [("lease.lost", 2), ("transactions.completed", 2)]


def test_beside_a_lost_member_what_was_decided_on_its_writes_is_decided_again(house):
    leased = house.lease(2)

    def work(transaction, context):
        if n(transaction) == 1:
            house.queue.release([leased[0]])
            write(context, transaction)
        elif context.db["Bank"].count_documents({}):
            raise Reject("somebody was here")

    house.work_off(work, leased, transactional=True)
    assert house.states() == ["queued", "done"]


def test_a_member_that_is_lost_alone_is_only_told(house):
    leased = house.lease(1)

    def work(transaction, context):
        write(context, transaction)
        house.queue.release(leased)

    house.work_off(work, leased, transactional=True)
    assert (house.bank(), house.states()) == ([], ["queued"])
    assert house.told() == [("lease.lost", 1)]


def test_after_a_conflict_the_whole_session_runs_again(house):
    def work(transaction, context):
        write(context, transaction)
        if n(transaction) == 2 and len(house.happened("conflict")) < 2:
            raise Conflict

    house.run(work, 3, transactional=True)
    assert house.happened("conflict", "committing") == [("conflict",), ("conflict",), ("committing", 1, 2, 3)]
    assert house.bank() == [1, 2, 3]
    assert house.attempts() == [1, 1, 1]


def test_conflicts_until_the_deadline_split_the_group_and_then_charge_who_still_conflicts(house):
    def work(transaction, context):
        write(context, transaction)
        if n(transaction) == 2:
            raise Conflict

    house.run(work, 3, transactional=True, timeout_seconds=6)
    assert house.happened("committing", "settled") == [("committing", 1), ("settled", 2), ("committing", 3)]
    assert house.bank() == [1, 3]
    assert (house.states(), house.attempts()) == (["done", "queued", "done"], [1, 1, 1])
    assert house.all()[1].error["message"] == "conflicts for 6 s"


def test_a_session_takes_no_more_members_when_it_has_been_open_for_long(house):
    def work(transaction, context):
        house.ticks.pass_(SESSION_SECONDS * 0.6)
        write(context, transaction)

    house.run(work, 3, transactional=True)
    assert house.happened("committing") == [("committing", 1, 2), ("committing", 3)]
    assert house.bank() == [1, 2, 3]


def test_a_slow_transactional_lease_gives_back_what_was_not_started(house):
    def work(transaction, context):
        house.ticks.pass_(HOLD_SECONDS)
        write(context, transaction)

    house.run(work, 3, transactional=True)
    assert (house.bank(), house.states(), house.attempts()) == ([1], ["done", "queued", "queued"], [1, 0, 0])


def test_one_that_is_told_to_stop_gives_back_what_was_to_run_again(house):
    def work(transaction, context):
        house.tell("ran", n(transaction))
        write(context, transaction)
        if n(transaction) == 2:
            raise ValueError("spoils the session")

    house.run(work, 3, transactional=True, stopping=lambda: bool(house.log))
    assert house.happened("ran") == [("ran", 1), ("ran", 2)]
    assert (house.bank(), house.states(), house.attempts()) == ([], ["queued"] * 3, [0] * 3)


@pytest.mark.parametrize("error", [ValueError("spoils"), Conflict()], ids=["a write and an error", "conflicts"])
def test_a_slow_spoiler_is_soon_leased_alone_so_that_everything_ends(house, error):
    def work(transaction, context):
        if n(transaction) == 8:
            write(context, transaction)
            house.ticks.pass_(HOLD_SECONDS * 2)
            raise error
        house.ticks.pass_(0.01)
        write(context, transaction)

    house.pace.learn("t", 8, 0.08)
    leased, leases = house.lease(8), 0
    while leased:
        house.work_off(work, leased, transactional=True)
        leased, leases = house.lease_again(house.pace.limit("t")), leases + 1
        assert leases < 30
    assert house.bank() == [1, 2, 3, 4, 5, 6, 7]
    assert (house.states(), house.attempts()) == (["done"] * 7 + ["queued"], [1] * 8)


def test_a_handler_that_writes_nothing_is_well_in_a_session_too(house):
    house.run(lambda transaction, context: n(transaction), 2, transactional=True)
    assert [one.result for one in house.all()] == [1, 2]


def test_a_session_in_which_all_raised_before_writing_settles_them_apart(house):
    def work(transaction, context):
        raise Reject("closed")

    house.run(work, 2, transactional=True)
    assert house.states() == ["rejected", "rejected"]


# A group at once


def test_a_group_is_called_once_and_each_gets_its_entry(house):
    calls = []

    def work(transactions, context):
        calls.append([n(one) for one in transactions])
        return [n(one) * 10 for one in transactions]

    house.run(work, 3, batch=True)
    assert calls == [[1, 2, 3]]
    assert [one.result for one in house.all()] == [10, 20, 30]


def test_entries_of_a_group_may_reject_and_ask_for_later(house):
    house.run(lambda *_: ["well", Reject("no"), RetryLater(after_seconds=60)], 3, batch=True)
    assert (house.states(), house.attempts()) == (["done", "rejected", "queued"], [1, 1, 0])


@pytest.mark.parametrize("options", [{}, {"transactional": True}])
@pytest.mark.parametrize("more", [-1, 1])
def test_a_wrong_number_of_entries_fails_the_group(house, more, options):
    house.run(lambda given, _: ["a"] * (len(given) + more), 3, batch=True, **options)
    assert (house.states(), house.attempts()) == (["queued"] * 3, [1] * 3)


@pytest.mark.parametrize("options", [{}, {"transactional": True}])
def test_a_group_that_raises_fails_every_member(house, options):
    def work(transactions, context):
        if options:
            context.db["Bank"].insert_one({"_id": 0})
        raise ValueError("down")

    house.run(work, 3, batch=True, **options)
    assert (house.states(), house.attempts()) == (["queued"] * 3, [1] * 3)
    assert house.bank() == []
    assert {one.error["message"] for one in house.all()} == {"down"}


def test_a_transactional_group_commits_its_effects_with_its_completions(house):
    def work(transactions, context):
        for one in transactions[:2]:
            write(context, one)
        return [None, None, Reject("no")]

    house.run(work, 3, batch=True, transactional=True)
    assert house.log == [("committing", 1, 2, 3)]
    assert house.bank() == [1, 2]
    assert house.states() == ["done", "done", "rejected"]


def test_a_transactional_group_without_a_completion_leaves_no_effects(house):
    def work(transactions, context):
        write(context, transactions[0])
        return [Reject("no"), RetryLater(after_seconds=60)]

    house.run(work, 2, batch=True, transactional=True)
    assert (house.bank(), house.states()) == ([], ["rejected", "queued"])


def test_a_transactional_group_whose_session_broke_has_failed(house):
    def work(transactions, context):
        write(context, transactions[0])
        house.queue.session.broken = True
        return [None, None]

    house.run(work, 2, batch=True, transactional=True)
    assert (house.bank(), house.states(), house.attempts()) == ([], ["queued"] * 2, [1, 1])


def test_a_transactional_group_that_lost_a_member_is_done_again_without_it(house):
    leased, calls = house.lease(3), []

    def work(transactions, context):
        calls.append([n(one) for one in transactions])
        for one in transactions:
            write(context, one)
        if len(calls) == 1:
            house.queue.release([leased[1]])
        return [None] * len(transactions)

    house.work_off(work, leased, batch=True, transactional=True)
    assert calls == [[1, 2, 3], [1, 3]]
    assert (house.bank(), house.states()) == ([1, 3], ["done", "queued", "done"])


def test_a_groups_follow_ups_are_enqueued_though_its_first_entry_did_not_complete(house):
    def work(transactions, context):
        context.enqueue("mail", {"to": 0})
        return [RetryLater(after_seconds=60), "well"]

    house.run(work, 2, batch=True)
    (mail,) = house.all("mail")
    assert mail.state is State.QUEUED


def test_a_group_without_a_completion_enqueues_nothing(house):
    def work(transactions, context):
        context.enqueue("mail", {"to": 0})
        return [RetryLater(after_seconds=60), Reject("no")]

    house.run(work, 2, batch=True)
    assert house.all("mail") == []


# Ordering keys

MODES = pytest.mark.parametrize(
    "options", [{}, {"transactional": True}, {"batch": True}, {"batch": True, "transactional": True}], ids=str
)


def each(work, **options):
    """The handler of one, or of a group that raises or returns for each what the handler of one would."""

    def of_group(transactions, context):
        entries = []
        for one in transactions:
            try:
                entries.append(work(one, context))
            except (Reject, RetryLater) as entry:
                entries.append(entry)
        return entries

    return of_group if options.get("batch") else work


@MODES
def test_those_of_one_key_run_in_order_one_after_the_other(house, options):
    ran = []
    house.work_off(
        each(lambda transaction, _: ran.append(n(transaction)), **options), house.lease_keys("aabab"), **options
    )
    assert house.states() == ["done"] * 5
    assert [number for number in ran if number in (1, 2, 4)] == [1, 2, 4]
    assert [number for number in ran if number in (3, 5)] == [3, 5]


@MODES
def test_after_a_retry_the_later_ones_of_its_key_go_back_and_other_keys_go_on(house, options):
    def work(transaction, context):
        if n(transaction) == 2:
            raise RetryLater(after_seconds=60)

    house.work_off(each(work, **options), house.lease_keys("aabab"), **options)
    assert house.states() == ["done", "queued", "done", "queued", "done"]
    assert house.attempts() == [1, 0, 1, 0, 1]


@MODES
def test_after_a_rejection_its_key_goes_on(house, options):
    def work(transaction, context):
        if n(transaction) == 1:
            raise Reject("no")

    house.work_off(each(work, **options), house.lease_keys("aaa"), **options)
    assert house.states() == ["rejected", "done", "done"]


@pytest.mark.parametrize("options", [{}, {"transactional": True}], ids=str)
@pytest.mark.parametrize(("after_dead", "states"), [("block", ["dead", "queued"]), ("skip", ["dead", "done"])])
def test_after_a_dead_one_its_key_does_as_its_handler_chose(house, options, after_dead, states):
    def work(transaction, context):
        if n(transaction) == 1:
            raise ValueError("never")

    leased = house.lease_keys("aa", after_dead=after_dead, max_attempts=1)
    house.work_off(work, leased, **options)
    assert house.states() == states


@MODES
def test_after_a_lost_one_the_later_ones_of_its_key_go_back(house, options):
    leased = house.lease_keys("aab")

    def work(transaction, context):
        if n(transaction) == 1:
            house.queue.release(leased[:1])  # as a rescue would

    house.work_off(each(work, **options), leased, **options)
    assert house.states() == ["queued", "queued", "done"]


@pytest.mark.parametrize("options", [{}, {"transactional": True}], ids=str)
def test_one_that_is_not_settled_by_its_session_is_settled_before_the_next_of_its_key_runs(house, options):
    leased, seen = house.lease_keys("aa"), []

    def work(transaction, context):
        seen.append(house.queue.get(leased[0].id).state)
        if n(transaction) == 1:
            raise Reject("no")

    house.work_off(work, leased, **options)
    assert seen[-1] is State.REJECTED


def test_outside_a_session_each_is_settled_before_the_next_of_its_key_runs(house):
    leased, seen = house.lease_keys("aab"), []
    house.pace.learn(leased[0].type, 1000, 0.001)  # so fast that they would be settled together

    def work(transaction, context):
        seen.append((n(transaction), house.queue.get(leased[0].id).state))

    house.work_off(work, leased)
    assert (2, State.DONE) in seen


def test_a_spoiler_runs_alone_at_its_place_and_not_before_those_ahead_of_it(house):
    def work(transaction, context):
        house.tell("ran", n(transaction))
        write(context, transaction)
        if n(transaction) == 2 and len(house.happened("ran")) == 2:
            raise ValueError("for once")

    house.work_off(work, house.lease_keys("aaa"), transactional=True)
    assert house.happened("ran", "committing") == [
        ("ran", 1),
        ("ran", 2),
        ("ran", 1),
        ("committing", 1),
        ("ran", 2),
        ("committing", 2),
        ("ran", 3),
        ("committing", 3),
    ]
    assert house.states() == ["done"] * 3


def test_of_a_group_what_followed_a_retry_of_its_key_is_discarded_and_the_rest_commits(house):
    calls = []

    def work(transactions, context):
        calls.append([n(one) for one in transactions])
        for one in transactions:
            if n(one) != 2:
                write(context, one)
        return [RetryLater(after_seconds=60) if n(one) == 2 else None for one in transactions]

    house.work_off(work, house.lease_keys("aabab"), batch=True, transactional=True)
    assert sorted(calls[0]) == [1, 2, 3, 4, 5]
    assert house.bank() == [1, 3, 5]
    assert house.states() == ["done", "queued", "done", "queued", "done"]
    assert house.attempts() == [1, 0, 1, 0, 1]


def test_of_a_group_what_followed_a_rejection_of_its_key_commits_with_it(house):
    def work(transactions, context):
        write(context, transactions[-1])
        return [Reject("no") if n(one) == 1 else None for one in transactions]

    house.work_off(work, house.lease_keys("aaa"), batch=True, transactional=True)
    assert (house.bank(), house.states()) == ([3], ["rejected", "done", "done"])
    assert house.happened("committing") == [("committing", 1, 2, 3)]


def test_a_bad_one_fails_alone_and_not_with_its_transactional_group(house):
    def work(transactions, context):
        for one in transactions:
            write(context, one)
            if n(one) == 3:
                raise ValueError("bad")
        return [None] * len(transactions)

    house.run(work, 5, batch=True, transactional=True)
    assert house.states() == ["done", "done", "queued", "done", "done"]
    assert (house.bank(), house.attempts()) == ([1, 2, 4, 5], [1] * 5)


def test_behind_a_bad_one_of_a_group_its_key_goes_back(house):
    def work(transactions, context):
        if any(n(one) == 2 for one in transactions):
            raise ValueError("bad")
        for one in transactions:
            write(context, one)
        return [None] * len(transactions)

    house.work_off(work, house.lease_keys("aaab"), batch=True, transactional=True)
    assert (house.bank(), house.states()) == ([1, 4], ["done", "queued", "queued", "done"])
