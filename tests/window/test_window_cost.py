"""What each page and each action costs the database: a bounded number of keys, however much is stored, and no scan."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from pymongo import WriteConcern

from transqueue.admin.cause import cause_of
from transqueue.mongodb import connect
from transqueue.mongodb.documents import encode
from transqueue.transaction import LANES, Stamp, Transaction, TransactionIds, keyed_lane

STORED = 20_000
BOUND = 100  # of each thing that is bounded; as delivered it is 10,000, and Q would have to be a hundred times larger
MOST = 15 * BOUND
CAUSE = "pay ValueError: no account …"
PAGES = (
    "/ui/",
    "/ui/plots.json?span=7d",
    "/ui/transactions",
    "/ui/transactions?state=done",
    "/ui/transactions?state=queued",
    "/ui/transactions?state=running",
    "/ui/transactions?state=dead",
    "/ui/transactions?state=dead&type=pay&submitter=nobody",
    "/ui/transactions?state=queued&type=pay&submitter=nobody",
    "/ui/transactions?type=nothing",
    "/ui/transactions?plugin=nothing",
    "/ui/transactions?key=nothing",
    "/ui/transactions?submitter=nobody",
    f"/ui/transactions?cause={CAUSE}",
    "/ui/transactions?age=1h&type=nothing",
    "/ui/transactions?since=2020-01-01T00:00&until=2020-02-01T00:00",
    "/ui/transactions/{queued}",
    "/ui/transactions/{keyed}",
    "/ui/transactions/{dead}",
    "/ui/transactions/{done}",
    "/ui/failures",
    f"/ui/failures/redrive?cause={CAUSE}",
    "/ui/types",
    "/ui/types/pay",
    "/ui/types/nothing.known",
    "/ui/workers",
    "/ui/plugins",
    "/ui/audit",
    "/ui/system",
    "/metrics",
    "/readyz",
    "/api/stats",
    "/api/types",
    "/api/plugins",
    "/api/workers",
    "/api/data/",
    "/api/data/?state=done&type=nothing",
    "/api/data/{queued}",
    "/api/data/{queued}/explain",
    "/api/data/{keyed}/explain",
)
ACTIONS = {
    "/transactions/{dead}/retry": {},
    "/transactions/{queued}/cancel": {},
    "/transactions/selected": {"verb": "retry", "id": ["{dead}", "{queued}"]},
    "/types/pay/pause": {"reason": "tea"},
    "/types/pay/resume": {},
    "/types/pay/try": {"verb": "submit", "data": '{"name": "Ada"}'},
    "/system/reload": {},
}


class Stock:
    """A queue in which much is stored, and what the server read for a look at it."""

    def __init__(self, queue, database):
        self.queue, self._database, self._ids, self.one = queue, database, TransactionIds(), {}

    def fill(self):
        q = self._database["Q"].with_options(write_concern=WriteConcern("majority"))
        q.insert_many([self._document(number) for number in range(STORED)], ordered=False)
        self.queue.measures.counted()

    def read_by(self, look):
        """How many keys and documents of Q the server read for all commands of a look; none of them was a scan."""
        rows = [row for row in self.asked_by(look) if row["ns"] == f"{self._database.name}.Q"]
        assert not any("COLLSCAN" in row.get("planSummary", "") for row in rows)
        return sum(row.get("keysExamined", 0) for row in rows), sum(row.get("docsExamined", 0) for row in rows)

    def asked_by(self, look):
        """What the server did for each command of a look."""
        self._database.command("profile", 2)
        try:
            look()
        finally:
            self._database.command("profile", 0)
        told = {"ns": 1, "op": 1, "keysExamined": 1, "docsExamined": 1, "planSummary": 1}
        rows = list(self._database["system.profile"].find({}, told))
        self._database["system.profile"].drop()
        return rows

    def _document(self, number):
        now = self.queue.clock.now()
        name = {1: "queued", 2: "dead", 3: "running", 4: "keyed"}.get(number % 10, "done")
        key = {"ordering_key": "ann", "plugin": Stamp("bank", "2.0"), "lane": keyed_lane("bank", "ann")}
        given = {
            "id": self._ids.next(now - timedelta(seconds=STORED - number)),
            "type": ("pay", "invoice.pay")[number // 10 % 2],
            "data": {"name": "Ada"},
            "created_at": now,
            "due_at": now - timedelta(seconds=number % 500),
            "max_attempts": 3,
            "lane": number % LANES,
            "submitter": "shop",
        }
        document = encode(Transaction(**given | (key if name == "keyed" else {}))) | self._end(name, number, now)
        self.one[name] = document["_id"]
        return document

    def _end(self, name, number, now):
        if name in ("queued", "keyed"):
            return {}
        if name == "running":
            return {"state": "running", "lease": {"token": "t", "worker": "w", "at": now}}
        if name == "dead":
            error = {"type": ("KeyError", "ValueError")[number // 20 % 2], "message": f"no account {number}"}
            cause = cause_of(("pay", "invoice.pay")[number // 10 % 2], error)
            finished_at = now - timedelta(seconds=number % 7200)
            return {"state": "dead", "finished_at": finished_at, "error": error, "cause": cause}
        return {"state": "done", "finished_at": now}


@pytest.fixture(scope="module")
def stock(mongo_uri, mongo_client):
    name = f"test_{uuid.uuid4().hex[:12]}"
    queue = connect(mongo_uri, name)
    made = Stock(queue, mongo_client[name])
    made.fill()
    yield made
    queue.close()
    mongo_client.drop_database(name)


@pytest.fixture(autouse=True)
def bounded(monkeypatch):
    """The bounds are brought down, rather than Q filled up."""
    bounds = (
        "mongodb.listing.LOOKED_THROUGH",
        "mongodb.failures.COUNTED",
        "mongodb.failures.REDRIVEN",
        "mongodb.circumstances.POSITION_LIMIT",
        "api.health.COUNTED",
        "dashboard.failures.REDRIVEN",
    )
    for name in bounds:
        monkeypatch.setattr(f"transqueue.{name}", BOUND)


@pytest.fixture
def looked(stock, house_on):
    return house_on(stock.queue).visitor()


@pytest.mark.parametrize("page", PAGES)
def test_a_page_reads_a_bounded_number_of_keys_however_much_is_stored(stock, looked, page):
    path = page.format(**stock.one)
    answers = []
    keys, documents = stock.read_by(lambda: answers.append(looked.client.get(path).status_code))
    assert answers[0] in (200, 404, 503)
    assert max(keys, documents) <= MOST


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_reads_a_bounded_number_of_keys_however_much_is_stored(stock, looked, action):
    form = {
        name: [one.format(**stock.one) for one in value] if isinstance(value, list) else value
        for name, value in ACTIONS[action].items()
    }
    csrf = looked.token()
    keys, documents = stock.read_by(lambda: looked.do(action.format(**stock.one), csrf=csrf, **form))
    assert max(keys, documents) <= MOST


def test_a_redrive_reads_what_it_moves_and_little_more(stock, looked):
    now = stock.queue.clock.now()
    sent = {"cause": CAUSE, "until": now.isoformat(), "count": str(BOUND), "confirm": str(BOUND), "pace": "all"}
    csrf, before = looked.token(), stock.queue.counts()["pay"]["dead"]
    keys, documents = stock.read_by(lambda: looked.do("/failures/redrive", csrf=csrf, **sent))
    assert before - stock.queue.counts()["pay"]["dead"] == BOUND
    assert max(keys, documents) <= MOST


def test_what_waits_is_counted_from_keys_alone_and_not_for_each_who_asks(stock, looked):
    depths = stock.queue.measures.counted()
    left = sum(one.queued + one.running + one.dead for one in depths.types.values())
    assert 0.35 * STORED < left < 0.45 * STORED
    assert stock.read_by(stock.queue.measures.counted)[1] == 0
    for page in ("/ui/", "/ui/types", "/metrics", "/api/stats"):
        assert stock.read_by(lambda page=page: looked.client.get(page))[0] < left


def test_plots_read_the_figures_of_their_minutes_from_one_index_and_nothing_else(stock, looked):
    stock.queue.measures.tally.add("pay", "accepted")
    stock.queue.measures.flush()
    rows = stock.asked_by(lambda: looked.client.get("/ui/plots.json?span=24h&type=pay"))
    (read,) = [row for row in rows if row["ns"].endswith(".Minutes")]
    assert (read["planSummary"], read["keysExamined"], read["docsExamined"]) == (
        "IXSCAN { span: 1, type: 1, at: 1 }",
        1,
        1,
    )
    assert [row["ns"] for row in rows if row["ns"].endswith(".Q")] == []


def test_metrics_are_of_all_processes_whichever_of_them_is_asked(stock, house_on, mongo_uri):
    other = connect(mongo_uri, stock.queue.database.name)
    before = accepted(house_on(other).visitor())
    for queue, count in ((stock.queue, 3), (other, 4)):
        queue.measures.tally.add("pay", "accepted", count)
        queue.measures.tally.observe("pay", *[0.02] * count, histogram="run")
        queue.measures.flush()
    assert accepted(house_on(stock.queue).visitor()) == accepted(house_on(other).visitor()) == before + 7
    other.close()


def accepted(visitor):
    text = visitor.client.get("/metrics").get_data(as_text=True)
    found = [
        line.rpartition(" ")[2]
        for line in text.splitlines()
        if line.startswith('transqueue_accepted_total{type="pay"}')
    ]
    return float(found[0]) if found else 0


def test_figures_that_are_old_are_counted_by_one_of_those_who_ask_and_by_nobody_while_another_counts(stock):
    kept, hour = stock.queue.database["Depths"], timedelta(hours=1)
    now = stock.queue.clock.now()
    kept.update_one({"_id": "depths"}, {"$set": {"at": now - hour, "next_at": now + hour}})
    assert stock.read_by(stock.queue.measures.depths) == (0, 0)
    assert stock.queue.measures.depths().at < now - hour / 2
    kept.update_one({"_id": "depths"}, {"$set": {"next_at": now}})
    assert stock.read_by(stock.queue.measures.depths)[0] > 0
    assert stock.read_by(stock.queue.measures.depths) == (0, 0)
    assert stock.queue.measures.depths().at >= now
