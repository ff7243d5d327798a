"""How a transaction looks in Q: the one place that knows the stored names.

Numbers with a fraction are stored as doubles where a double carries them exactly as they were written, and as
Decimal128 where it does not, so every number comes back as it was sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

from bson import Decimal128, Timestamp

from ..transaction import VERSION, Idempotency, Lease, OnEnd, Stamp, State, Transaction, made_of

Document = dict[str, Any]

DOUBLE_DIGITS = 15  # so many decimal digits a double always gives back
READABLE = {"$lte": VERSION}  # of `v`
_TOLD = ("traceparent", "request_id")
_STATES = {state.value: state for state in State}
_NEVER = datetime.fromtimestamp(0, UTC)
_FIELDS = frozenset(field.name for field in fields(Transaction))
_PLAIN = frozenset({str, int, float, bool, type(None)})
LEASED = {"lease": 0, "accepted": 0, "ordered": 0}  # what a worker knows of what it leased, or has no use for
_BY_SERVER = Timestamp(0, 0)  # mongod fills it in when it inserts: the order of acceptance, across hosts


def encode(transaction: Transaction) -> Document:
    """The document of a new, queued transaction."""
    return own(transaction) | common(alike(transaction))


def own(transaction: Transaction) -> Document:
    """The part of it that hardly any other transaction has."""
    document: Document = {"_id": transaction.id, "data": stored(transaction.data), "lane": transaction.lane}
    if transaction.ordering_key is not None:
        document["ordering_key"], document["ordered"] = transaction.ordering_key, True
    if transaction.idempotency:
        document["idempotency"] = {"key": transaction.idempotency.key, "body_hash": transaction.idempotency.body_hash}
    if transaction.on_end:
        document["on_end"] = [_on_end(one) for one in transaction.on_end]
    if transaction.origin:
        document["origin"] = stored(transaction.origin)
    if transaction.parent is not None:
        document["parent"] = transaction.parent
    return document


class Alike(NamedTuple):
    """What all that are submitted together may well have alike."""

    type: str
    state: State
    priority: int
    due_at: datetime
    created_at: datetime
    attempts: int
    max_attempts: int
    crashes: int
    submitter: str
    after_dead: str
    plugin: Stamp | None
    traceparent: str | None
    request_id: str | None


_alike = attrgetter(*Alike._fields)


def alike(transaction: Transaction) -> Alike:
    """That of one transaction."""
    return Alike._make(_alike(transaction))


def common(alike: Alike) -> Document:
    """The part of a document that is made of it."""
    document: Document = {
        "v": VERSION,
        "type": alike.type,
        "state": alike.state.value,
        "priority": alike.priority,
        "due_at": alike.due_at,
        "created_at": alike.created_at,
        "accepted": _BY_SERVER,
        "attempts": alike.attempts,
        "max_attempts": alike.max_attempts,
        "crashes": alike.crashes,
        "submitter": alike.submitter,
        "history": [],
    }
    if alike.after_dead != "block":
        document["after_dead"] = alike.after_dead
    if alike.plugin:
        document["plugin"] = _stamp(alike.plugin)
    return document | {name: value for name in _TOLD if (value := getattr(alike, name)) is not None}


def decode(document: Mapping[str, Any]) -> Transaction:
    """The transaction that a document tells of; of a newer format, what is sure, with the cure as its error."""
    if is_newer(document):
        return _newer(document)
    held = document.get("lease")
    lease = Lease(held["token"], held["worker"], held.get("at")) if held else None
    return _become({**document, "lease": lease})


def decode_leased(row: Document, lease: Lease) -> Transaction:
    """The transaction of a row that was read as `LEASED`, and without zones. The row is used up.

    PyMongo takes longer for one time with a zone than for all the rest of a row.
    """
    in_utc(row, "created_at", "due_at", "deferred_since")
    in_utc(row.get("origin", {}), "created_at", "finished_at")
    for entry in row.get("history", ()):
        in_utc(entry, "at", "leased_at")
    if is_newer(row):
        return _newer(row)
    row["lease"] = lease
    return _become(row)


def _become(row: Document) -> Transaction:
    """The transaction that a row becomes: a worker makes very many, and each copy would take as long as reading it."""
    row["id"], row["state"] = row.pop("_id"), _STATES[row["state"]]
    for name, restore in _RESTORED.items():
        if name in row:
            row[name] = restore(row[name])
    if not _FIELDS.issuperset(row):  # what is for the database alone, or of the next version
        for name in row.keys() - _FIELDS:
            del row[name]
    return made_of(row)


def in_utc(row: Document, *names: str) -> None:
    """Give times that were read without a zone the one that all have."""
    for name in names:
        if name in row:
            row[name] = _utc(row[name])


@lru_cache(256)
def _utc(moment: datetime) -> datetime:
    """Mostly one that was met a moment ago: a transaction is due when it is made, and many are made together."""
    return moment.replace(tzinfo=UTC)


def decode_first(document: Mapping[str, Any]) -> Transaction:
    """The first transaction of an idempotency key, also one of which nothing but the key is kept."""
    if "state" in document:
        return decode(document)
    missing = {"data": {}, "due_at": document["created_at"], "max_attempts": 1, "priority": 0, "lane": 0}
    return decode({**missing, **document, "state": document["was"], "attempts": 0, "crashes": 0})


def is_newer(document: Mapping[str, Any]) -> bool:
    """Whether a document is of a format that this version neither processes nor changes."""
    return bool(document.get("v", VERSION) > VERSION)


def _newer(document: Mapping[str, Any]) -> Transaction:
    """Nothing is taken for granted but the id: anything else may be stored otherwise there."""
    state = document.get("state")
    due_at, created_at = document.get("due_at"), document.get("created_at")
    version = document["v"]
    message = (
        f"It is stored in format {version}, and this version of TransQueue reads up to {VERSION}: upgrade TransQueue "
        "on this host. Hosts with the newer version process it."
    )
    return Transaction(
        id=document["_id"],
        type=str(document.get("type", "")),
        data=restored(document.get("data")),
        created_at=created_at if isinstance(created_at, datetime) else _NEVER,
        due_at=due_at if isinstance(due_at, datetime) else _NEVER,
        max_attempts=0,
        state=State(state) if state in set(State) else State.QUEUED,
        submitter=str(document.get("submitter", "")),
        v=version,
        error={"type": "NewerFormat", "message": message},
    )


def known(kind: type[Any], document: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a document that a value has; the next version may store more."""
    names = kind.__dataclass_fields__  # what `fields` reads, each time anew
    return {name: document[name] for name in names if name in document}


@lru_cache(256)
def _stamp_of(name: str, version: str, schema: str) -> Stamp:
    """Few, each on very many transactions."""
    return Stamp(name, version, schema)


def _restored_stamp(document: Mapping[str, Any]) -> Stamp:
    return _stamp_of(document["name"], document["version"], document.get("schema", ""))


def _stamp(stamp: Stamp) -> Document:
    return {"name": stamp.name, "version": stamp.version} | ({"schema": stamp.schema} if stamp.schema else {})


def _on_end(one: OnEnd) -> Document:
    document: Document = {"type": one.type, "data": stored(one.data), "max_attempts": one.max_attempts}
    if one.ordering_key is not None:
        document |= {"ordering_key": one.ordering_key, "after_dead": one.after_dead}
    return document | ({"plugin": _stamp(one.plugin)} if one.plugin else {})


def _restored_on_end(document: Mapping[str, Any]) -> OnEnd:
    plugin = document.get("plugin")
    stamp = Stamp(**known(Stamp, plugin)) if plugin else None
    return OnEnd(**{**known(OnEnd, document), "data": restored(document["data"]), "plugin": stamp})


def stored(value: Any) -> Any:
    """A JSON value as BSON keeps it."""
    if type(value) is str or type(value) is int:
        return value
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, Mapping):
        return {key: stored(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [stored(item) for item in value]
    return value


def _number(value: Decimal) -> float | Decimal128:
    text = str(value)
    if len(text) <= DOUBLE_DIGITS and "E" not in text and value.is_finite():
        return float(text)
    return float(value) if Decimal(repr(float(value))) == value else Decimal128(value)


def restored(value: Any) -> Any:
    """A BSON value as the JSON value that was stored; where that is the same, itself."""
    if type(value) in _PLAIN:
        return value
    if type(value) is dict and _PLAIN.issuperset(map(type, value.values())):
        return value
    if isinstance(value, Decimal128):
        return value.to_decimal()
    if isinstance(value, dict):
        return {key: restored(item) for key, item in value.items()}
    if isinstance(value, list):
        return [restored(item) for item in value]
    return value


def _restored_idempotency(document: Mapping[str, Any]) -> Idempotency:
    return Idempotency(document["key"], document["body_hash"])


_RESTORED: Mapping[str, Callable[[Any], Any]] = {
    "data": restored,
    "result": restored,
    "origin": restored,
    "history": tuple,
    "plugin": _restored_stamp,
    "idempotency": _restored_idempotency,
    "on_end": lambda many: tuple(map(_restored_on_end, many)),
}
