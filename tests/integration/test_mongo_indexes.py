"""What each query costs at a backlog of 50,000: the server's own explanation of the very commands that are sent."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from pymongo import WriteConcern

from transqueue.mongodb.documents import encode
from transqueue.mongodb.listing import LOOKED_THROUGH
from transqueue.queue import WorkerRecord
from transqueue.transaction import LANES, State, Transaction, TransactionIds

BACKLOG = 50_000
LIMIT = 20
PRIORITIES = (5, 0, -5)
# Each lane is a scan of its own; it looks one key ahead, and leaps once per priority over what is due later.
AHEAD = LANES * (len(PRIORITIES) + 2)
NOT_EXPLAINED = {"lsid", "$clusterTime", "$db", "$readPreference", "maxTimeMS", "readConcern"}


class Backlog:
    """A queue with 50,000 in it, and the explanation of what it sends."""

    def __init__(self, queue, sent, database):
        self.queue, self._sent, self._database = queue, sent, database
        self.name, self._ids = database.name, TransactionIds()

    def explained(self, action, command):
        """How the server runs each such command that `action` sends."""
        return [self._explain(document) for name, document in self._sent.during(action) if name == command]

    def _explain(self, document):
        asked = {key: value for key, value in document.items() if key not in NOT_EXPLAINED}
        told = self._database.command("explain", asked, verbosity="executionStats")
        return Explanation(told["stages"][0]["$cursor"] if "stages" in told else told)

    def indexes(self):
        return self._database["Q"].index_information()

    def fill(self):
        q = self._database["Q"].with_options(write_concern=WriteConcern("majority"))
        q.insert_many(self._documents(), ordered=False)

    def _documents(self):
        now = self.queue.clock.now()
        for number in range(BACKLOG):
            type = ("deposit", "deposit", "parked", "busy", "keyed")[number % 5]
            priority = PRIORITIES[number % 7 % 3]
            # Of one type many are due later; of another, all those that would go first.
            later = number % 3 == 0 if type == "deposit" else type == "busy" and priority == max(PRIORITIES)
            transaction = Transaction(
                id=self._ids.next(now),
                type=type,
                data={"username": "ann", "value": 5},
                created_at=now,
                due_at=now + timedelta(seconds=3600 if later else -1 - number % 1000),
                max_attempts=8,
                priority=priority,
                lane=number % 11 % LANES if type == "keyed" else number % LANES,
                submitter="rare" if number == 7 else "shop",
            )
            ended = {"state": str(State.DONE), "finished_at": now} if number % 5 == 4 and number % 2 else {}
            yield encode(transaction) | ended


class Explanation:
    """The stages of the plan that won, and what running it touched."""

    def __init__(self, told):
        plan = told["queryPlanner"]["winningPlan"]
        self.stages = list(_stages(plan.get("queryPlan", plan)))
        statistics = told["executionStats"]
        self.documents, self.keys = statistics["totalDocsExamined"], statistics["totalKeysExamined"]
        self.returned = statistics["nReturned"]

    def is_sorted_by_index(self):
        return "IXSCAN" in self.stages and not {"SORT", "COLLSCAN"} & {*self.stages}


def _stages(plan):
    yield plan["stage"]
    for below in [*plan.get("inputStages", []), *([plan["inputStage"]] if "inputStage" in plan else [])]:
        yield from _stages(below)


@pytest.fixture(scope="module")
def backlog(connect_heard, mongo_client):
    name = f"test_{uuid.uuid4().hex[:12]}"
    queue, sent = connect_heard(name)
    made = Backlog(queue, sent, mongo_client[name])
    made.fill()
    yield made
    queue.close()
    mongo_client.drop_database(name)


def lease_and_release(backlog, type, **narrowed):
    worker = WorkerRecord(id=uuid.uuid4().hex, host="here", pid=1, slot=0)
    backlog.queue.begin(worker, lease_seconds=600)

    def act():
        leased = backlog.queue.lease(worker.id, type, limit=LIMIT, **narrowed)
        assert len(leased) == LIMIT
        backlog.queue.release(leased)

    return act


@pytest.mark.parametrize("lanes", [None, [3], [0, 2, 4, 6, 8, 10, 12, 14]], ids=["all lanes", "one lane", "half"])
@pytest.mark.parametrize("type", ["deposit", "busy"])
def test_candidates_are_chosen_from_the_index_alone_reading_little_more_than_the_limit(backlog, type, lanes):
    candidates, read_back = backlog.explained(lease_and_release(backlog, type, lanes=lanes), "find")
    assert candidates.returned == LIMIT
    assert candidates.is_sorted_by_index()
    assert candidates.documents == 0
    assert candidates.keys <= LIMIT + AHEAD
    assert read_back.documents == LIMIT


@pytest.mark.parametrize("types", [["deposit"], ["deposit", "busy", "keyed"], ["nothing"], ["nothing", "none"]])
def test_whether_anything_is_due_is_told_from_the_index_alone(backlog, types):
    (looking,) = backlog.explained(lambda: backlog.queue.due(types), "find")
    assert looking.is_sorted_by_index()
    assert looking.documents == 0
    assert looking.keys <= len(types) * AHEAD


def test_the_types_of_a_family_are_told_by_leaping_from_type_to_type(backlog):
    (looking,) = backlog.explained(lambda: backlog.queue.queued_types("d"), "distinct")
    assert "DISTINCT_SCAN" in looking.stages
    assert looking.documents == 0
    assert looking.keys <= 3


def test_counting_touches_no_document(backlog):
    assert sum(sum(states.values()) for states in backlog.queue.counts().values()) == BACKLOG
    looking = backlog.explained(lambda: backlog.queue.counts(at_most=100), "distinct")
    assert all(one.stages[-1] == "DISTINCT_SCAN" and one.documents == 0 and one.keys <= 5 for one in looking)
    counting = backlog.explained(lambda: backlog.queue.counts(at_most=100), "count")
    assert len(counting) == 5
    assert all(one.stages[-1] == "COUNT_SCAN" and one.documents == 0 and one.keys <= 101 for one in counting)


@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"submitter": "rare"},
        {"submitter": "nobody"},
        {"state": State.DEAD},
        {"state": State.QUEUED, "submitter": "nobody"},
        {"state": State.QUEUED, "type": "deposit", "submitter": "nobody"},
        {"type": "nothing"},
    ],
    ids=str,
)
def test_a_page_looks_through_a_bounded_number_of_documents_however_rare_what_it_looks_for(backlog, filters):
    *floors, page = backlog.explained(lambda: backlog.queue.page(**filters), "find")
    assert len(floors) <= 1  # none where an index has all of the few that match
    for floor in floors:
        assert floor.documents == 0
        assert floor.keys <= LOOKED_THROUGH + 1
    assert page.documents <= LOOKED_THROUGH + 1
    assert page.keys <= LOOKED_THROUGH + 1


def test_pages_of_what_is_rare_lead_to_it_and_to_the_end(backlog):
    found, after, pages = [], None, 0
    while pages == 0 or after:
        page = backlog.queue.page(submitter="rare", after=after)
        found, after, pages = [*found, *page.transactions], page.next, pages + 1
    assert [one.submitter for one in found] == ["rare"]
    assert pages == -(-BACKLOG // LOOKED_THROUGH)


def test_preparing_again_changes_no_index(backlog, connect_heard):
    before = backlog.indexes()
    queue, _ = connect_heard(backlog.name)
    queue.close()
    assert backlog.indexes() == before
    assert set(before) >= {"_id_", "due", "idempotency"}


def test_what_is_leased_or_ended_leaves_no_key_behind_what_is_due(backlog):
    # Removed keys are in no statistics, and cost time: so it is the index that is looked at.
    indexes = backlog.indexes()
    assert indexes["due"]["partialFilterExpression"] == {"state": "queued"}
    in_every_state = [name for name, one in indexes.items() if "partialFilterExpression" not in one]
    assert in_every_state == ["_id_"]
