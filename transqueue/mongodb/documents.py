"""How a transaction looks in Q: the one place that knows the stored names.

Numbers with a fraction are stored as doubles where a double carries them exactly as they were written, and as
Decimal128 where it does not, so every number comes back as it was sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

from bson import Decimal128, Timestamp

from ..transaction import VERSION, Idempotency, Lease, OnEnd, Stamp, State, Transaction

Document = dict[str, Any]

DOUBLE_DIGITS = 15  # so many decimal digits a double always gives back
READABLE = {"$lte": VERSION}  # of `v`
_TOLD = ("traceparent", "request_id")
_RESTORED = ("data", "result", "origin")
_OTHERWISE = {*_RESTORED, "id", "state", "lease", "idempotency", "plugin", "on_end", "history", "v"}
_is_as_it_is = frozenset(field.name for field in fields(Transaction) if field.name not in _OTHERWISE).__contains__
_STATES = {state.value: state for state in State}
_NEVER = datetime.fromtimestamp(0, UTC)
_BLANK = Transaction(id="", type="", data=None, created_at=_NEVER, due_at=_NEVER, max_attempts=1)
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


def decode(document: Mapping[str, Any], lease: Lease | None = None) -> Transaction:
    """The transaction that a document tells of; of a newer format, what is sure, with the cure as its error.

    Args:
        lease: the one that it has, where that is known: the document may be without it.
    """
    if is_newer(document):
        return _newer(document)
    told = {name: document[name] for name in filter(_is_as_it_is, document)}
    held, key, plugin = document.get("lease"), document.get("idempotency"), document.get("plugin")
    told["lease"] = lease or (Lease(held["token"], held["worker"], held.get("at")) if held else None)
    if key:
        told["idempotency"] = Idempotency(key["key"], key["body_hash"])
    if plugin:
        told["plugin"] = _stamp_of(plugin["name"], plugin["version"], plugin.get("schema", ""))
    if "on_end" in document:
        told["on_end"] = tuple(_restored_on_end(one) for one in document["on_end"])
    for name in _RESTORED:
        if name in document:
            told[name] = restored(document[name])
    history = tuple(document.get("history", ()))
    return _BLANK.altered(id=document["_id"], state=_STATES[document["state"]], history=history, **told)


def decode_leased(row: Document, lease: Lease) -> Transaction:
    """The transaction of a row that was read as `LEASED`, and without zones.

    PyMongo takes longer for one time with a zone than for all the rest of a row.
    """
    in_utc(row, "created_at", "due_at", "deferred_since")
    in_utc(row.get("origin", {}), "created_at", "finished_at")
    for entry in row.get("history", ()):
        in_utc(entry, "at", "leased_at")
    return decode(row, lease)


def in_utc(row: Document, *names: str) -> None:
    """Give times that were read without a zone the one that all have."""
    for name in names:
        if name in row:
            row[name] = row[name].replace(tzinfo=UTC)


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
    """A BSON value as the JSON value that was stored."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, Decimal128):
        return value.to_decimal()
    if isinstance(value, dict):
        return {key: restored(item) for key, item in value.items()}
    if isinstance(value, list):
        return [restored(item) for item in value]
    return value
