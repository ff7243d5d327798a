"""Handlers that test what a worker lets pass. Each type is one case; `CASES` says what is sent to it.

The kit and real workers run the very same; only how a process dies or hangs is replaced (`die`, `sleep`).
"""

import asyncio
import contextlib
import decimal
import os
import signal
import sys
import time

from bson import Decimal128
from marshmallow import Schema, fields
from pymongo.errors import DuplicateKeyError

from transqueue import Handler, Reject, RetryLater, hookimpl

ONCE = {"max_attempts": 1}
CASES = []  # (name, type, data, options)
HANDLERS = []


def die():
    os.kill(os.getpid(), signal.SIGSEGV)
    time.sleep(60)


sleep = time.sleep


def case(type, data=None, name=None, options=None, **declared):
    def add(target):
        if not any(one.type == type for one in HANDLERS):
            schema = declared.pop("schema", None)
            HANDLERS.append(Handler(type=type, target=target, schema=schema, **{**ONCE, **declared}))
        CASES.append((name or type, type, data or {}, options or {}))
        return target

    return add


@hookimpl
def transqueue_handlers():
    return HANDLERS


# Results


def deep(levels):
    value = 1
    for _ in range(levels):
        value = [value]
    return value


RESULTS = {
    "object": {"a": [1, 2.5, None, True, "é"]},
    "nothing": None,
    "tuple": (1, 2),
    "number-keys": {1: "one"},
    "set": {1, 2},
    "bytes": b"x",
    "nan": float("nan"),
    "decimal": decimal.Decimal("1.5"),
    "object-of-a-class": object(),
    "too-big": "x" * 17_000,
    "just-fits": "x" * 16_000,
    "too-deep": deep(101),
    "deep": deep(99),
    "big-integer": 2**63,
    "int64": 2**63 - 1,
    "dollar-key": {"$set": 1},
    "dotted-key": {"a.b": 1},
    "zero-key": {"a\0": 1},
    "surrogate": "\ud800",
    "generator": (n for n in range(3)),
}


def returning(value):
    def give(transaction, context):
        return value

    return give


for kind, given in RESULTS.items():
    case(f"result.{kind}")(returning(given))


# What is raised


def raising(error):
    def fail(transaction, context):
        raise error

    return fail


class Odd(BaseException):
    pass


class Unsayable(Exception):
    def __str__(self):
        raise RuntimeError("no words")


ERRORS = {
    "reject": Reject("insufficient funds"),
    "reject-long": Reject("x" * 5000),
    "error": ValueError("no"),
    "exit": SystemExit(3),
    "odd": Odd("even"),
    "unsayable": Unsayable(),
    "expired": RetryLater("not now", after_seconds=0, expires_after_seconds=0),
}
for kind, given in ERRORS.items():
    case(f"raise.{kind}")(raising(given))


@case("raise.twice", max_attempts=3, backoff_seconds=(0.01, 0.01))
def twice(transaction, context):
    if transaction.attempt < 3:
        raise ValueError(f"attempt {transaction.attempt}")
    return transaction.attempt


@case("raise.later", max_attempts=1)
def later(transaction, context):
    if transaction.deferred_since is None:
        raise RetryLater("soon", after_seconds=0.01)
    return {"attempt": transaction.attempt}


@case("raise.not-a-number", max_attempts=1)
def wrong_later(transaction, context):
    raise RetryLater(after_seconds=float("nan"))


@case("exit.die", timeout_seconds=20)
def dies(transaction, context):
    die()


@case("exit.hang", timeout_seconds=0.3)
def hangs(transaction, context):
    sleep(60)


@case("exit.catches-all", timeout_seconds=20)
def dies_anyway(transaction, context):
    try:
        die()
    except BaseException:
        return "alive"


# The database


@case("db.without")
def without(transaction, context):
    try:
        return context.db["E"].find_one()
    except Exception as error:
        raise ValueError(type(error).__name__) from error


def writes(transaction, context):
    context.db["E"].insert_one({"_id": transaction.type, "n": 1})


TRANSACTIONAL = {"transactional": True}


@case("db.writes", **TRANSACTIONAL)
def well(transaction, context):
    writes(transaction, context)
    return context.db["E"].find_one({"_id": transaction.type})["n"]


@case("db.raises-after-a-write", **TRANSACTIONAL)
def after_a_write(transaction, context):
    writes(transaction, context)
    raise ValueError("discard that")


@case("db.rejects-after-a-write", **TRANSACTIONAL)
def rejects(transaction, context):
    writes(transaction, context)
    raise Reject("no")


@case("db.duplicate", **TRANSACTIONAL)
def duplicate(transaction, context):
    writes(transaction, context)
    writes(transaction, context)


@case("db.duplicate-caught", **TRANSACTIONAL)
def caught(transaction, context):
    writes(transaction, context)
    try:
        writes(transaction, context)
    except DuplicateKeyError:
        return "went on"


@case("db.bad-result-after-a-write", **TRANSACTIONAL)
def bad_result(transaction, context):
    writes(transaction, context)
    return {1, 2}


@case("db.no-match", **TRANSACTIONAL)
def no_match(transaction, context):
    context.db["E"].update_one({"_id": "nobody"}, {"$set": {"n": 1}})
    raise Reject("nobody there")


@case("db.upsert", **TRANSACTIONAL)
def upsert(transaction, context):
    context.db["E"].update_one({"_id": transaction.type}, {"$inc": {"n": 5}}, upsert=True)
    found = context.db["E"].find_one_and_update({"_id": transaction.type}, {"$inc": {"n": 1}}, return_document=True)
    return found["n"]


@case("db.decimal128", **TRANSACTIONAL)
def decimal128(transaction, context):
    context.db["E"].insert_one({"_id": transaction.type, "n": Decimal128("1.50")})
    return str(context.db["E"].find_one({"_id": transaction.type})["n"])


NOT_BSON = {"decimal": decimal.Decimal("1.5"), "set": {1}, "object": range(3), "big": 2**63, "number-key": {1: 2}}
for kind, given in NOT_BSON.items():

    def not_bson(transaction, context, given=given):
        context.db["E"].insert_one({"_id": transaction.type, "n": given})

    case(f"db.not-bson-{kind}", **TRANSACTIONAL)(not_bson)


@case("db.not-bson-caught-first", **TRANSACTIONAL)
def not_bson_first(transaction, context):
    with contextlib.suppress(Exception):
        context.db["E"].insert_one({"n": {1}})
    return "went on"


@case("db.not-bson-caught-later", **TRANSACTIONAL)
def not_bson_later(transaction, context):
    writes(transaction, context)
    with contextlib.suppress(Exception):
        context.db["E"].insert_one({"n": {1}})
    return "went on"


NOT_ALLOWED = {
    "create-index-on-a-full-one": lambda db: db["Full"].create_index("n"),
    "drop": lambda db: db["E"].drop(),
    "count": lambda db: db["E"].estimated_document_count(),
    "list": lambda db: db.list_collection_names(),
}
for kind, given in NOT_ALLOWED.items():

    def not_allowed(transaction, context, do=given):
        try:
            do(context.db)
        except Exception as error:
            raise ValueError("refused") from error

    case(f"db.not-in-a-session-{kind}", **TRANSACTIONAL)(not_allowed)


@case("db.dies-after-a-write", timeout_seconds=20, **TRANSACTIONAL)
def dies_after_a_write(transaction, context):
    writes(transaction, context)
    die()


# Batches


@case("batch.entries", {"say": "value"}, "batch.value", batch=True)
@case("batch.entries", {"say": "reject"}, "batch.reject", batch=True)
@case("batch.entries", {"say": "expired"}, "batch.expired", batch=True)
def entries(transactions, context):
    said = {"value": 1, "reject": Reject("no"), "expired": RetryLater(after_seconds=0, expires_after_seconds=0)}
    return [said[one.data["say"]] for one in transactions]


@case("batch.too-few", batch=True)
def too_few(transactions, context):
    return []


@case("batch.not-json", batch=True)
def not_json(transactions, context):
    return [{1} for _ in transactions]


@case("batch.none", batch=True)
def none(transactions, context):
    return None


@case("batch.writes", batch=True, **TRANSACTIONAL)
def batch_writes(transactions, context):
    for one in transactions:
        writes(one, context)
    return [one.attempt for one in transactions]


# Follow-ups


@case("follow.well", {"name": "greeting", "data": {"text": "hi"}})
@case("follow.well", {"name": "greeting", "data": {"text": 3}}, "follow.wrong-data")
@case("follow.well", {"name": "nobodys", "data": {}}, "follow.unknown")
@case("follow.well", {"name": "greeting", "data": {"text": "hi"}, "options": {"priority": 99}}, "follow.wrong-options")
@case("follow.well", {"name": "greeting", "data": {"text": "hi"}, "options": {"colour": 1}}, "follow.unknown-option")
def follows(transaction, context):
    sent = transaction.data
    context.enqueue(sent["name"], sent["data"], **sent.get("options", {}))
    return "followed"


@case("follow.not-json")
def follows_with_no_json(transaction, context):
    context.enqueue("greeting", {"text": {1}})


@case("follow.fails")
def follows_and_fails(transaction, context):
    context.enqueue("greeting", {"text": transaction.type})
    raise ValueError("and then this")


@case("follow.session", **TRANSACTIONAL)
def follows_in_a_session(transaction, context):
    writes(transaction, context)
    context.enqueue("greeting", {"text": transaction.type})


class Greeting(Schema):
    text = fields.String(required=True)


@case("greeting", {"text": "hello"}, schema=Greeting())
@case("greeting", {"text": 5}, "greeting.wrong", schema=Greeting())
@case("greeting", {"text": "hello", "more": 1}, "greeting.unknown-field", schema=Greeting())
@case("greeting", {"text": "hello"}, "greeting.odd-option", options={"colour": "red"}, schema=Greeting())
@case("greeting", {"text": "hello"}, "greeting.early", options={"priority": 11}, schema=Greeting())
def greeting(transaction, context):
    return transaction.data


class Losing(Schema):
    n = fields.Integer(load_default=7)


@case("loaded", {}, schema=Losing())
def loaded(transaction, context):
    transaction.data["changed"] = True
    return transaction.data


# Keys, families, classes


@case("keyed", {"account": "ann"}, ordering_key="account")
@case("keyed", {}, "keyed.without", ordering_key="account")
@case("keyed", {"account": 5}, "keyed.number", ordering_key="account")
@case("keyed", {"account": "ann"}, "keyed.delayed", options={"delay_seconds": 1}, ordering_key="account")
def keyed(transaction, context):
    return transaction.ordering_key


@case("family.*")
def family(transaction, context):
    return transaction.type


CASES[-1] = ("family", "family.of.ann", {}, {})
CASES.append(("family.itself", "family", {}, {}))
CASES.append(("unknown", "unheard-of", {}, {}))


@case("class.counts")
class Counts:
    def __init__(self, config):
        self.made_with = dict(config)

    def __call__(self, transaction, context):
        return self.made_with


@case("class.broken")
class Broken:
    def __init__(self, config):
        sys.exit("cannot be made")

    def __call__(self, transaction, context): ...


# Async handlers


@case("async.well")
async def async_well(transaction, context):
    await asyncio.sleep(0)
    return {"attempt": transaction.attempt}


@case("async.rejects")
async def async_rejects(transaction, context):
    raise Reject("no")


@case("async.exits")
async def async_exits(transaction, context):
    sys.exit(3)


@case("async.late", timeout_seconds=0.3)
async def async_late(transaction, context):
    await asyncio.sleep(60)


@case("async.coroutine")
async def async_coroutine(transaction, context):
    return [1, 2, {3}]
