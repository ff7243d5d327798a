"""The loop of a worker, turn by turn, over a queue in memory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from transqueue import Handler
from transqueue.errors import QueueUnavailable, SubmissionRefused, TrackLost
from transqueue.events import Events
from transqueue.executor import Bound, Executor
from transqueue.order import Due
from transqueue.process.event_loop import EventLoop
from transqueue.process.marker import Marker
from transqueue.queue import WorkerRecord
from transqueue.submission import Admission
from transqueue.testing import MemoryQueue, SettableClock
from transqueue.transaction import KEYED_LANES, LANES, Stamp, State, Transaction, TransactionIds
from transqueue.worker import worker as worker_module
from transqueue.worker.batch import Batches
from transqueue.worker.binding import bind, follow_ups, is_parked
from transqueue.worker.pace import Pace
from transqueue.worker.process import alarm_moment
from transqueue.worker.worker import LOOK_AROUND, MANY, SHARE_A_SESSION, Worker, lanes_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Ticks:
    """A monotonic clock that a test moves."""

    def __init__(self):
        self.seconds = 100.0

    def __call__(self):
        return self.seconds


class Stop:
    """A stop flag that is set after so many waits, and that lets something happen in each."""

    def __init__(self):
        self.waits, self.after, self.then = [], 5, lambda: None

    def is_set(self):
        return len(self.waits) >= self.after

    def wait(self, seconds):
        self.waits.append(seconds)
        self.then()


class SpyQueue(MemoryQueue):
    """A queue in memory that tells what is asked of it, and fails when told to."""

    def __init__(self):
        super().__init__(SettableClock(NOW))
        self.asked, self.error = [], None

    def due(self, types, *, with_key=None):
        self.asked.append(("due", sorted(types)))
        if self.error:
            raise self.error
        return super().due(types, with_key=with_key)

    def lease(self, worker, type, *, limit, lanes=None, by_age=False):
        self.asked.append(("lease", type, limit, lanes))
        return super().lease(worker, type, limit=limit, lanes=lanes, by_age=by_age)

    def queued_types(self, prefix):
        self.asked.append(("queued", prefix))
        return super().queued_types(prefix)

    def of(self, verb):
        return [about for asked, *about in self.asked if asked == verb]


class House:
    """A worker over its queue; `ran` is what its handlers ran, as the claim and the type."""

    def __init__(self, *claims, lanes=(0, 1), parked=frozenset(), first=0, bell=None, **options):
        self.options = options
        self.bell = bell
        self.queue, self.ticks, self.pace, self.stop = SpyQueue(), Ticks(), Pace(), Stop()
        self.ran, self.heard, self._ids = [], [], TransactionIds()
        executor = Executor(clock=self.queue.clock, marker=Marker(), new_transaction=lambda *_: None)
        events = Events(self.heard.append)
        self.worker = Worker(
            self.queue,
            Batches(self.queue, executor, events=events, pace=self.pace),
            {claim: self._bound(claim) for claim in claims},
            id="ann",
            lanes=lanes,
            pace=self.pace,
            stop=self.stop,
            events=events,
            first=first,
            is_parked=parked.__contains__,
            monotonic=self.ticks,
            bell=bell,
        )
        self.queue.begin(WorkerRecord(id="ann", host="here", pid=1, slot=0), lease_seconds=600)

    def _bound(self, claim):
        def run(transaction, context):
            self.ran.append((claim, transaction.type))

        return Bound(Handler(type=claim, target=run, **self.options), run, {})

    def enqueue(self, type, *, lane=0, **fields):
        now = self.queue.clock.now()
        given = {"created_at": now, "due_at": now, "max_attempts": 1, "lane": lane, "data": {}}
        new = Transaction(id=self._ids.next(now), type=type, **given | fields)
        self.queue.enqueue([new])
        return new.id

    def enqueue_keyed(self, type, key, *, lane):
        """One of the key, in the keyed lane of this number; the bounds here have the plugin ""."""
        return self.enqueue(type, lane=KEYED_LANES[lane], ordering_key=key, plugin=Stamp("", "1"))

    def run_and_hear(self, said, *where, coming=()):
        """Run; in the first wait these types come and the bell says so, and what was asked before is forgotten."""

        def ring():
            del self.queue.asked[:]
            for type in coming:
                self.enqueue(type)
            self.bell.said, self.bell.where = said, frozenset(where)
            self.stop.then = lambda: None

        self.stop.then = ring
        self.worker.run()

    def turns(self, count):
        return [self.worker.turn() for _ in range(count)]


# A turn


def test_a_turn_works_off_what_is_due():
    house = House("a")
    waiting = house.enqueue("a")
    assert house.turns(2) == [True, False]
    assert house.queue.get(waiting).state is State.DONE


def test_without_handlers_the_database_is_not_asked():
    house = House()
    house.enqueue("a")
    assert house.turns(1) == [False]
    assert house.queue.asked == []


@pytest.mark.parametrize(("first", "type"), [(0, "a"), (1, "b"), (2, "c"), (4, "a")])
def test_the_first_turn_is_the_one_that_it_is_given(first, type):
    house = House("a", "b", "c", first=first)
    for claim in ("a", "b", "c"):
        house.enqueue(claim)
    house.turns(1)
    assert house.ran == [(type, type)]


def test_a_type_that_nobody_claims_waits():
    house = House("a")
    waiting = house.enqueue("b")
    assert house.turns(1) == [False]
    assert house.queue.get(waiting).state is State.QUEUED


def test_when_nothing_is_due_one_question_is_enough():
    house = House("a", "b", "c")
    house.turns(1)
    assert house.queue.asked == [("due", ["a", "b", "c"])]


def test_after_little_one_question_is_enough_to_know_that_nothing_follows():
    house = House("a", "b", "c")
    house.pace.learn("a", 4, 0.001)
    house.enqueue("a")
    house.turns(1)
    del house.queue.asked[:]
    assert house.turns(1) == [False]
    assert house.queue.asked == [("due", ["a", "b", "c"])]


@pytest.mark.parametrize("leased", [1, MANY])
def test_after_all_that_was_asked_for_or_many_it_goes_on_without_a_question(leased):
    house = House("a")
    house.pace.learn("a", leased, 0.001 if leased > 1 else 9.0)
    for _ in range(leased + 1):
        house.enqueue("a")
    house.turns(1)
    del house.queue.asked[:]
    house.turns(1)
    assert house.queue.asked[0][0] == "lease"


def test_types_that_had_nothing_are_asked_for_together_while_another_has_a_backlog():
    house = House("a", "b", "c", "d")
    for _ in range(3):
        house.enqueue("a")
    house.pace.learn("a", 1, 9.0)  # slow ones, so one at a time
    house.turns(2)
    house.ticks.seconds += 1
    del house.queue.asked[:]
    house.turns(1)
    assert house.queue.of("due") == [[["b", "c", "d"]]]
    assert {type for type, *_ in house.queue.of("lease")} == {"a"}


def test_a_type_that_had_nothing_once_is_not_asked_for_while_it_has_a_backlog():
    house = House("a", "b", "c", "d")
    house.enqueue("d")
    house.turns(2)
    for _ in range(3):
        house.enqueue("a")
    house.pace.learn("a", 1, 9.0)
    house.turns(1)
    del house.queue.asked[:]
    house.turns(1)
    assert house.queue.of("due") == [[["b", "c", "d"]]]


def test_while_no_key_is_due_its_lanes_are_not_looked_into_beside_a_backlog(monkeypatch):
    house, orders = House("a", "b"), []
    order = house.queue.lease_in_order
    monkeypatch.setattr(house.queue, "lease_in_order", lambda *args, **how: orders.append(1) or order(*args, **how))
    for _ in range(9):
        house.enqueue("a")
    house.pace.learn("a", 1, 9.0)
    house.turns(3)
    house.ticks.seconds += 1
    orders.clear()
    house.turns(1)
    assert orders == []
    keyed = house.enqueue_keyed("b", "ann", lane=0)
    house.ticks.seconds += 1
    house.turns(3)
    assert house.queue.get(keyed).state is State.DONE


def test_what_came_for_a_type_that_had_nothing_is_found_beside_a_backlog():
    house = House("a", "b", "c", "d")
    for _ in range(9):
        house.enqueue("a")
    house.pace.learn("a", 1, 9.0)
    house.turns(2)
    late = house.enqueue("c")
    house.ticks.seconds += 1
    house.turns(2)
    assert house.queue.get(late).state is State.DONE


def test_its_own_lanes_come_first():
    house = House("a", lanes=(2, 3))
    far, near = house.enqueue("a", lane=9), house.enqueue("a", lane=3)
    house.turns(1)
    assert (house.queue.get(near).state, house.queue.get(far).state) == (State.DONE, State.QUEUED)
    assert house.queue.of("lease") == [["a", 1, (2, 3)]]


def test_from_other_lanes_it_takes_what_its_own_do_not_have():
    house = House("a", lanes=(2, 3))
    far = house.enqueue("a", lane=9)
    house.turns(1)
    assert house.queue.get(far).state is State.DONE


def test_who_has_all_lanes_looks_into_them_once():
    house = House("a", lanes=range(LANES))
    house.enqueue("a", lane=9)
    house.turns(2)  # the second in vain
    assert len(house.queue.of("lease")) == 2


def test_now_and_then_all_lanes_are_looked_at_alike():
    house = House("a", lanes=(2, 3))
    house.pace.learn("a", 1, 9.0)  # slow ones, so one at a time
    far = house.enqueue("a", lane=9)
    for _ in range(2 * LOOK_AROUND):
        house.enqueue("a", lane=2)
    house.turns(LOOK_AROUND)
    assert house.queue.get(far).state is State.DONE


def test_keyed_ones_run_in_their_order_across_types():
    house = House("a", "b")
    ids = [house.enqueue_keyed(type, "ann", lane=0) for type in "abba"]
    while house.worker.turn():
        pass
    assert [type for _, type in house.ran] == ["a", "b", "b", "a"]
    assert {house.queue.get(one).state for one in ids} == {State.DONE}


def test_no_keyed_lane_waits_until_another_is_empty():
    house = House("a", lanes=(0, 1))
    late = house.enqueue_keyed("a", "bob", lane=1)
    for number in range(20):
        house.enqueue_keyed("a", f"account-{number}", lane=0)
    house.turns(2)
    assert house.queue.get(late).state is State.DONE


def test_types_are_taken_in_turn():
    house = House("a", "b", "c")
    for type in ("a", "a", "a", "b", "c", "c"):
        house.enqueue(type)
    house.pace.learn("a", 1, 9.0)  # slow ones, so one at a time
    house.pace.learn("c", 1, 9.0)
    assert house.turns(7) == [True] * 6 + [False]
    assert [type for _, type in house.ran] == ["a", "b", "c", "a", "c", "a"]


def test_how_many_are_leased_is_what_their_pace_allows():
    house = House("a")
    for _ in range(20):
        house.enqueue("a")
    house.turns(1)
    house.pace.learn("a", 2, 0.0)
    house.turns(1)
    assert [limit for _, limit, _ in house.queue.of("lease")] == [1, 8]


def test_when_it_is_to_stop_what_it_leased_goes_back():
    house = House("a")
    waiting = house.enqueue("a")
    house.stop.after = 0
    assert house.worker.turn()
    assert (house.ran, house.queue.get(waiting).state) == ([], State.QUEUED)


# Families


def test_a_family_takes_every_type_below_its_prefix_and_no_other():
    house = House("a.*")
    for type in ("a.b", "a.c.d", "ab", "a"):
        house.enqueue(type)
    house.turns(6)
    assert sorted(house.ran) == [("a.*", "a.b"), ("a.*", "a.c.d")]


def test_an_exact_claim_wins_over_a_family():
    house = House("a.*", "a.b")
    house.enqueue("a.b")
    house.enqueue("a.c")
    house.turns(3)
    assert sorted(house.ran) == [("a.*", "a.c"), ("a.b", "a.b")]
    assert house.queue.of("due")[0] == [["a.b", "a.c"]]


def test_the_longest_family_wins():
    house = House("a.*", "a.b.c.*", "a.b.*")
    for type in ("a.x", "a.b.x", "a.b.c.x"):
        house.enqueue(type)
    house.turns(4)
    assert sorted(house.ran) == [("a.*", "a.x"), ("a.b.*", "a.b.x"), ("a.b.c.*", "a.b.c.x")]


def test_a_type_whose_own_claim_is_parked_does_not_go_to_a_family():
    house = House("a.*", parked={"a.b"})
    waiting = house.enqueue("a.b")
    house.enqueue("a.c")
    house.turns(2)
    assert house.ran == [("a.*", "a.c")]
    assert house.queue.get(waiting).state is State.QUEUED


def test_the_types_of_a_family_are_looked_for_now_and_then():
    house = House("a.*")
    house.turns(3)
    assert house.queue.of("queued") == [["a."]]
    house.enqueue("a.new")
    assert house.turns(1) == [False]
    house.ticks.seconds += 0.6
    assert house.turns(1) == [True]
    assert len(house.queue.of("queued")) == 2


def test_without_families_nothing_is_looked_for():
    house = House("a")
    house.enqueue("a")
    house.turns(2)
    assert house.queue.of("queued") == []


# The loop


def test_it_waits_longer_and_longer_for_work_but_never_long():
    house = House("a")
    house.stop.after = 20
    house.worker.run()
    assert house.stop.waits[0] < 0.01
    assert house.stop.waits == sorted(house.stop.waits)
    assert house.stop.waits[-1] == 0.1


def test_after_work_it_waits_briefly_again():
    house = House("a")
    house.stop.after = 20
    house.stop.then = lambda: house.enqueue("a") if len(house.stop.waits) == 15 else None
    house.worker.run()
    assert len(house.ran) == 1
    assert house.stop.waits[14] == 0.1
    assert house.stop.waits[15] < 0.01


def test_while_there_is_work_it_does_not_wait():
    house = House("a")
    house.stop.after = 1
    for _ in range(10):
        house.enqueue("a")
    house.worker.run()
    assert len(house.ran) == 10


def test_it_ends_when_it_is_told_to():
    house = House("a")
    house.stop.after = 0
    house.enqueue("a")
    house.worker.run()
    assert house.queue.asked == []


def test_a_database_that_is_away_is_waited_out():
    house = House("a")
    house.enqueue("a")
    house.queue.error = QueueUnavailable("no answer")

    def comes_back_after_three():
        if len(house.stop.waits) == 3:
            house.queue.error = None

    house.stop.then = comes_back_after_three
    house.worker.run()
    assert house.stop.waits[:3] == [worker_module.UNAVAILABLE_WAIT_SECONDS] * 3
    assert [event.name for event in house.heard] == ["queue.unavailable"] * 3 + ["transactions.completed"]
    assert house.ran == [("a", "a")]


def test_a_lost_track_ends_it():
    house = House("a")
    house.queue.error = TrackLost()
    with pytest.raises(TrackLost):
        house.worker.run()
    assert house.stop.waits == []


def test_what_goes_wrong_in_the_loop_itself_ends_it():
    house = House("a")
    house.queue.error = RuntimeError("a defect")
    with pytest.raises(RuntimeError):
        house.worker.run()


# Its lanes and its alarm


@pytest.mark.parametrize("processes", [1, 2, 3, 5, 16, 40])
def test_the_workers_of_a_host_share_all_lanes_evenly(processes):
    lanes = [lanes_of(slot, processes) for slot in range(processes)]
    assert {lane for of_one in lanes for lane in of_one} == set(range(LANES))
    sizes = {len(of_one) for of_one in lanes}
    assert max(sizes) - min(sizes) <= 1


def test_up_to_as_many_workers_as_lanes_none_share_one():
    lanes = [lane for slot in range(5) for lane in lanes_of(slot, 5)]
    assert sorted(lanes) == list(range(LANES))


def test_a_worker_must_be_dead_before_its_lease_lapses():
    assert 1000 < alarm_moment(1000, 30) < 1030


# What it makes of the plugins


class Table:
    """A table from type to handler, written down by hand."""

    def __init__(self, *handlers):
        self._handlers = {handler.type: handler for handler in handlers}

    def types(self):
        return self._handlers

    def config_of(self, plugin):
        return {"plugin": plugin}

    def resolve(self, type):
        return self._handlers.get(type) or self._handlers.get(f"{type.partition('.')[0]}.*")

    def parked(self, type):
        return None

    def vetters(self):
        return ()

    def wrapped(self, handler, call):
        return call

    def fail(self, plugin, type, reason):
        pass


class Greet:
    def __init__(self, config):
        self.config = config


class Broken:
    def __init__(self, config):
        raise SystemExit(f"no gateway for {config['plugin']}")


def test_each_handler_is_bound_with_its_plugins_configuration_and_classes_are_made_once():
    def function(transaction, context):
        pass

    table = Table(
        Handler(type="f", target=function, plugin="p"),
        Handler(type="c", target=Greet, plugin="q"),
    )
    bounds = bind(table, Events(), EventLoop())
    assert (bounds["f"].call, bounds["f"].config) == (function, {"plugin": "p"})
    assert isinstance(bounds["c"].call, Greet)
    assert bounds["c"].call.config == {"plugin": "q"}


def test_a_class_that_cannot_be_made_is_told_and_left_out_and_the_others_go_on():
    heard = []
    table = Table(Handler(type="c", target=Broken, plugin="p"), Handler(type="d", target=Greet, plugin="p"))
    assert list(bind(table, Events(heard.append), EventLoop())) == ["d"]
    (event,) = heard
    assert (event.name, event.facts["type"], event.facts["plugin"]) == ("plugin.broken", "c", "p")
    assert "SystemExit" in event.facts["reason"]


def test_a_type_is_parked_when_its_own_claim_has_no_handler_that_works_here():
    table = Table(
        Handler(type="a.*", target=Greet, plugin="p"),
        Handler(type="a.b", target=Broken, plugin="p"),
    )
    bounds = bind(table, Events(), EventLoop())
    assert {type: is_parked(table, bounds, type) for type in ("a.b", "a.c", "z")} == {
        "a.b": True,
        "a.c": False,
        "z": True,
    }


@pytest.fixture
def follow_up():
    table = Table(Handler(type="mail", target=Greet, plugin="post", max_attempts=4))
    return follow_ups(Admission(table=table, default_type="deposit", clock=SettableClock(NOW), events=Events()))


def test_a_follow_up_is_admitted_as_if_it_came_through_the_door(follow_up):
    made = follow_up("mail", {"to": "ann"}, {"delay_seconds": 60})
    assert (made.type, made.data, made.max_attempts) == ("mail", {"to": "ann"}, 4)
    assert (made.due_at - NOW).total_seconds() == 60
    assert len(made.id) == 21


def test_a_follow_up_that_nobody_claims_is_refused(follow_up):
    with pytest.raises(SubmissionRefused, match="post"):
        follow_up("post", {}, {})


@pytest.mark.parametrize(
    ("data", "options"),
    [({"$x": 1}, {}), ({}, {"delay": 1}), (["list"], {}), ({"x": 2**63}, {})],
)
def test_a_follow_up_is_read_as_strictly_as_a_submission(follow_up, data, options):
    with pytest.raises(SubmissionRefused):
        follow_up("mail", data, options)


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_a_follow_up_with_what_is_no_number_is_refused_and_not_changed(follow_up, value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        follow_up("mail", {"x": value}, {})


def test_a_follow_ups_decimals_are_kept_as_numbers(follow_up):
    assert follow_up("mail", {"value": Decimal("0.10")}, {}).data == {"value": Decimal("0.10")}


# The bell


class FakeBell:
    """A bell that rings when a test says so."""

    is_listening = True

    def __init__(self):
        self.said, self.log, self.where = None, [], ()

    def listen(self):
        self.log.append("listen")

    def rest(self):
        self.log.append("rest")

    def heard(self):
        said, self.said = self.said, None
        return said

    def sources(self):
        return self.where


@pytest.fixture
def ringing():
    """The function `ringing(said)`: a worker whose bell rings in its fifteenth wait, for something in lane 0."""

    def make(said, **fields):
        house = House("a", bell=FakeBell())
        house.stop.after = 20

        def ring():
            if len(house.stop.waits) == 15:
                house.enqueue("a", **fields)
                house.bell.said = said

        house.stop.then = ring
        house.worker.run()
        return house

    return make


def test_where_something_was_heard_it_looks_first():
    house = House("a", "b", "c", "d", bell=FakeBell())
    house.stop.after = 2
    house.enqueue("a")
    house.turns(2)
    house.run_and_hear("ours", "d", coming=["d"])
    assert house.queue.of("lease")[0][0] == "d"


def test_an_idle_worker_that_finds_something_looks_there_first():
    house = House("a", "b", "c", "d")
    house.turns(1)
    house.enqueue("d")
    house.queue.asked.clear()
    house.turns(1)
    assert [asked[:2] for asked in house.queue.asked] == [("due", ["a", "b", "c", "d"]), ("lease", "d")]


def test_in_a_worker_that_is_never_idle_what_comes_holds_up_nobody(monkeypatch):
    house = House("a", "b", bell=FakeBell())
    monkeypatch.setattr(house.queue, "due", lambda types, **_: Due("a", has_key=False))
    for _ in range(20):
        house.enqueue("a")
    while len(house.ran) < 20:
        house.turns(1)  # so that it leases many at once, and one is few
    house.enqueue("b")
    for _ in range(4):
        house.enqueue("a")
        house.bell.where = ("a",)
        house.turns(1)
    assert "b" in [type for type, _ in house.ran[20:]]


def test_beside_where_something_was_heard_one_question_is_asked_for_all():
    house = House("a", "b", "c", "d", bell=FakeBell())
    house.stop.after = 2
    house.enqueue("a")
    house.turns(2)
    house.run_and_hear("ours", "d")
    assert [asked[:2] for asked in house.queue.asked][:3] == [("lease", "d"), ("lease", "d"), ("due", ["a", "b", "c"])]


def test_with_a_bell_it_looks_by_itself_ever_more_seldom_and_not_in_step_with_others(ringing):
    house = ringing(None)
    assert 0.5 < max(house.stop.waits) <= 1.25
    assert len(set(house.stop.waits[-4:])) > 1


def test_when_its_bell_rings_it_leases_at_once_and_asks_nothing_before(ringing):
    house = ringing("ours")
    assert len(house.ran) == 1
    verbs = [asked for asked, *_ in house.queue.asked]
    assert verbs.count("due") <= len(house.stop.waits)
    assert house.stop.waits[15:17] == [worker_module.FIRST_WAIT_SECONDS, worker_module.FIRST_LISTENING_SECONDS]
    assert house.bell.log.count("rest") == 1


def test_what_lies_in_a_lane_of_others_is_left_to_them_for_a_moment(ringing):
    house = ringing("others")
    assert 0.01 <= house.stop.waits[15] <= 0.02
    assert len(house.ran) == 1


def test_what_others_have_taken_meanwhile_costs_one_question():
    house = House("a", "b", bell=FakeBell())
    house.stop.after = 3
    house.run_and_hear("others", "a")
    assert house.queue.asked == [("due", ["a", "b"])]


def test_it_sleeps_no_longer_than_until_the_next_one_is_due():
    house = House("a", bell=FakeBell())
    house.stop.after = 30
    house.enqueue("a", due_at=NOW + timedelta(seconds=0.3))
    house.worker.run()
    assert max(house.stop.waits) == pytest.approx(0.3)


def test_each_source_looks_around_however_they_take_turns():
    house = House("a", "b", lanes=(2, 3))
    for type in "ab":
        house.pace.learn(type, 1, 9.0)
    far = [house.enqueue(type, lane=9) for type in "ab"]
    for _ in range(2 * LOOK_AROUND):
        for type in "ab":
            house.enqueue(type, lane=2)
    house.turns(2 * LOOK_AROUND)
    assert {house.queue.get(one).state for one in far} == {State.DONE}


def test_a_low_priority_is_passed_over_a_bounded_number_of_times():
    house = House("a", lanes=(2, 3))
    house.pace.learn("a", 1, 9.0)
    low = house.enqueue("a", lane=2, priority=-10)
    for _ in range(LOOK_AROUND):
        house.enqueue("a", lane=2, priority=10)
        house.turns(1)
    assert house.queue.get(low).state is State.DONE


def test_of_transactional_ones_it_leases_some_however_slow_their_sessions_were():
    house = House("a", transactional=True)
    house.pace.learn("a", 1, 9.0)
    for _ in range(SHARE_A_SESSION + 1):
        house.enqueue("a")
    house.turns(1)
    assert len(house.ran) == SHARE_A_SESSION
