"""What is stored in Q, for those who look with their own tools, and that it comes back as it was given."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import bson
import pytest
from bson import Decimal128, Int64, Timestamp
from bson.codec_options import CodecOptions
from hypothesis import given
from hypothesis import strategies as st
from pymongo.errors import OperationFailure

from transqueue.mongodb.documents import encode, restored, stored
from transqueue.mongodb.encoder import Encoder
from transqueue.outcome import Outcome, Verb
from transqueue.queue import Casualty, Settlement, WorkerRecord
from transqueue.transaction import HISTORY_KEPT, KEYED_LANES, VERSION, Idempotency, Stamp, State, Transaction

NOW = datetime(2026, 7, 25, 12, tzinfo=UTC)
DEEP = {"level": 0}
for _level in range(1, 60):
    DEEP = {"level": _level, "list": [[DEEP]]}


def row(database, transaction):
    return database["Q"].find_one({"_id": transaction.id})


ALIKE = {"priority": 1, "after_dead": "skip", "plugin": Stamp("ledger", "1", "s"), "request_id": "r", "parent": "p"}
DIFFERENT = {"ordering_key": "ann", "lane": 17, "idempotency": Idempotency("k", "h"), "data": {"value": Decimal("1.5")}}


@given(st.lists(st.sets(st.sampled_from([*ALIKE, *DIFFERENT])), max_size=6))
def test_whatever_was_encoded_before_it_a_transaction_is_encoded_as_its_document(several):
    encoded = Encoder(CodecOptions(tz_aware=True))
    for number, names in enumerate(several):
        fields = {name: value for name, value in {**ALIKE, **DIFFERENT}.items() if name in names}
        new = Transaction(
            **{"data": {}, **fields}, id=str(number), type="t", created_at=NOW, due_at=NOW, max_attempts=8
        )
        for _ in range(3):  # alone, then by what it has in common with the one before
            assert bson.decode(encoded(new), CodecOptions(tz_aware=True)) == encode(new)


WRITTEN = st.from_regex(r"-?(0|[1-9]\d{0,16})(\.\d{1,17})?(E[+-]?\d{1,3})?", fullmatch=True)


@given(WRITTEN.map(Decimal))
def test_a_number_is_stored_as_a_double_exactly_when_a_double_gives_it_back(number):
    found = stored(number)
    assert isinstance(found, float) == (Decimal(repr(float(number))) == number)
    assert (Decimal(repr(found)) if isinstance(found, float) else restored(found)) == number


def test_a_new_transaction_has_the_published_fields_and_no_others(desk, database):
    given = desk.enqueue()
    found = row(database, given)
    assert found.pop("accepted").time > 0
    assert found == {
        "_id": given.id,
        "v": VERSION,
        "type": "deposit",
        "data": {"username": "ann", "value": 5},
        "state": "queued",
        "priority": 0,
        "due_at": given.due_at,
        "created_at": given.created_at,
        "attempts": 0,
        "max_attempts": 8,
        "crashes": 0,
        "lane": 0,
        "submitter": "",
        "history": [],
    }


def test_a_transaction_with_everything_has_the_published_shapes(desk, database):
    given = desk.enqueue(
        idempotency=Idempotency("k", "h"), plugin=Stamp("ledger", "1.0"), submitter="shop", priority=-3, lane=7
    )
    found = row(database, given)
    assert found["idempotency"] == {"key": "k", "body_hash": "h"}
    assert found["plugin"] == {"name": "ledger", "version": "1.0"}
    assert (found["submitter"], found["priority"], found["lane"]) == ("shop", -3, 7)
    assert isinstance(found["accepted"], Timestamp)
    assert isinstance(found["due_at"], datetime)


def test_a_running_and_an_ended_one_have_the_published_shapes(desk, database):
    worker = desk.worker()
    held = desk.leased(worker)
    assert row(database, held)["state"] == "running"
    assert row(database, held)["lease"] == {"token": held.lease.token, "worker": worker, "at": held.lease.at}
    desk.queue.settle([desk.complete(held, {"balance": 5})])
    found = row(database, held)
    assert (found["state"], found["result"], found["ended_by"]) == ("done", {"balance": 5}, held.lease.token)
    assert found["finished_at"] >= found["created_at"]
    assert "lease" not in found
    ended = {"at": found["finished_at"], "state": "done", "attempt": 1, "worker": worker}
    assert found["history"] == [{**ended, "leased_at": held.lease.at}]


def test_what_was_leased_is_told_as_what_is_stored(desk):
    worker, since = desk.worker(), NOW - timedelta(hours=1)
    ended = {"transaction_id": "1", "created_at": NOW, "finished_at": NOW, "result": {"at": "2026"}, "error": None}
    made = {"idempotency": Idempotency("k", "h"), "plugin": Stamp("ledger", "1.0", "s"), "submitter": "shop"}
    held = desk.leased(worker, origin=ended, parent="1", **made)
    assert held == desk.get(held)
    later = Outcome(verb=Verb.RETRY, error={"type": "E", "message": "m"}, due_at=held.due_at, deferred_since=since)
    desk.queue.settle([Settlement(held, later)])
    desk.enqueue()
    again, _ = desk.queue.lease(worker, held.type, limit=2)
    assert again == desk.get(held)
    assert (again.deferred_since, again.origin, len(again.history)) == (since, ended, 1)


@pytest.mark.parametrize("behind", [0, 600], ids=["near", "behind many that wait"])
def test_what_was_leased_in_order_is_told_as_what_is_stored(desk, behind):
    keyed = {"lane": KEYED_LANES[0], "plugin": Stamp("bank", "1"), "type": "pay"}
    later = desk.at(3600)
    desk.queue.enqueue([desk.new(ordering_key=f"k{number}", due_at=later, **keyed) for number in range(behind)])
    given = desk.enqueue(ordering_key="ann", **keyed)
    while not (leased := desk.queue.lease_in_order(desk.worker(), "bank", ["pay"], limit=1)):
        assert behind
    assert [*leased] == [desk.get(given)]
    assert leased[0].state is State.RUNNING


def test_the_database_keeps_one_transaction_per_submitter_and_key_by_itself(desk, database):
    given = desk.enqueue(submitter="shop", idempotency=Idempotency("k", "h"))
    copy = row(database, given) | {"_id": "0" * 21}
    with pytest.raises(OperationFailure, match="duplicate key"):
        database["Q"].insert_one(copy)


NUMBERS = [
    (150, int),
    (2**31 - 1, int),
    (2**31, Int64),
    (2**63 - 1, Int64),
    (-(2**63), Int64),
    (150.0, float),
    (Decimal("150.0"), float),
    (Decimal("0.1"), float),
    (Decimal("-0.30"), float),
    (Decimal("1E+3"), float),
    (Decimal("999999999999999.9"), float),
    (Decimal("0.12345678901234567890123"), Decimal128),
    (Decimal("999999999999999.000000000000000001"), Decimal128),
    (Decimal("9007199254740993.0"), Decimal128),
    (Decimal("1E-400"), Decimal128),
    (Decimal("-1E+400"), Decimal128),
    (Decimal("9.999999999999999999999999999999999E+6144"), Decimal128),
]


def test_numbers_are_stored_in_the_plainest_type_that_carries_them_and_come_back_as_sent(desk, database):
    sent = desk.enqueue(data={"values": [given for given, _ in NUMBERS]})
    found = row(database, sent)["data"]["values"]
    assert [type(one) for one in found] == [kind for _, kind in NUMBERS]
    back = desk.get(sent).data["values"]
    exact = [Decimal(repr(one) if isinstance(one, float) else one) for one in back]
    assert exact == [Decimal(given) for given, _ in NUMBERS]


def test_a_negative_zero_keeps_its_sign(desk):
    assert str(desk.get(desk.enqueue(data={"value": Decimal("-0.0")})).data["value"]) == "-0.0"


@pytest.mark.parametrize(
    "data",
    [
        {"text": "$value", "path": "$$NOW", "root": "$$ROOT.secret", "remove": "$$REMOVE"},
        {"value": {"amount": "$data.value"}, "list": ["$a", {"b": "$c"}]},
        {"ünïcode": "naïve ✓ 金 🎉", "empty": "", "spaces": "  ", "quote": "\"'\\"},
        {"null": None, "true": True, "false": False, "none": [], "nothing": {}},
        {"$literal": "a value"},
        {"_id": 1, "state": "done", "lease": {"token": "mine"}},
        DEEP,
        {f"key {number}": number for number in range(1000)},
        {"long": "x" * 200_000},
        {"order": {"z": 1, "a": 2, "m": 3}},
    ],
    ids=["dollars", "inner dollars", "text", "constants", "operator", "our names", "deep", "wide", "long", "order"],
)
def test_data_and_results_survive_whatever_they_look_like(desk, data):
    held = desk.leased(data=data)
    assert held.data == data
    assert list(held.data) == list(data)
    desk.queue.settle([desk.complete(held, data)])
    done = desk.get(held)
    assert done.data == done.result == data


def test_what_looks_like_an_expression_survives_every_verb(desk):
    wild = {"a": "$data.secret", "b": "$$NOW"}
    error = {"type": "$type", "message": "$$ROOT", "traceback": "$data"}
    worker = desk.worker()
    held = desk.leased(worker, type="$type", data=wild, submitter="$s")
    desk.queue.settle([Settlement(held, Outcome(verb=Verb.BURY, error=error))])
    assert desk.queue.redrive(held.id, more_attempts=3)
    (again,) = desk.queue.lease(worker, "$type", limit=1)
    desk.queue.end(worker, Casualty(running=again.id, reason="$$NOW"))
    assert desk.queue.cancel(held.id)
    ended = desk.get(held)
    assert (ended.type, ended.data, ended.submitter) == ("$type", wild, "$s")
    assert ended.error == {"type": "WorkerDied", "message": "$$NOW"}
    assert ended.history[0]["error"] == {"type": "$type", "message": "$$ROOT"}
    assert [entry["state"] for entry in ended.history] == ["dead", "queued", "queued", "cancelled"]


def test_a_worker_whose_names_look_like_expressions_is_kept_as_it_is(desk, database):
    from_host = WorkerRecord(id="$id", host="$$NOW", pid=1, slot=0)
    desk.queue.begin(from_host, lease_seconds=60)
    found = database["Workers"].find_one({"_id": "$id"})
    assert found["host"] == "$$NOW"


def test_times_are_utc_dates_of_whole_milliseconds(desk, database):
    moment = datetime(2030, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
    given = desk.enqueue(due_at=moment, created_at=moment.astimezone(tz=UTC) + timedelta(milliseconds=1))
    assert row(database, given)["due_at"] == moment
    assert desk.get(given) == given


def test_the_history_of_a_document_is_bounded(desk, database):
    held = desk.leased(max_attempts=1000)
    for _ in range(HISTORY_KEPT + 3):
        desk.queue.settle([desk.retry(held, -1)])
        (held,) = desk.queue.lease("nobody", "deposit", limit=1)
    assert len(row(database, held)["history"]) == HISTORY_KEPT
    assert [entry["attempt"] for entry in desk.get(held).history][-1] == HISTORY_KEPT + 3


def test_results_that_only_look_alike_are_kept_apart_when_they_are_settled_together(desk):
    results = [1, 1.0, True, "1", [1], {"a": 1, "b": 2}, {"b": 2, "a": 1}, None, Decimal("0.12345678901234567890123")]
    held = desk.lease(*(desk.new() for _ in results))
    desk.queue.settle([desk.complete(one, result) for one, result in zip(held, results, strict=True)])
    kept = [desk.get(one).result for one in held]
    assert [repr(one) for one in kept] == [repr(one) for one in results]
