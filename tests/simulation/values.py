"""Values as MongoDB compares and keeps them: missing is not null, kinds have an order, and what comes out is a copy."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any

import bson
from bson import Decimal128, ObjectId, Timestamp
from bson.codec_options import CodecOptions
from bson.tz_util import utc

AWARE = CodecOptions(tz_aware=True, tzinfo=utc)


class Missing:
    """There is no such field."""

    def __repr__(self) -> str:
        return "missing"


MISSING = Missing()

_RANKS: dict[type, int] = {
    Missing: 0,
    type(None): 1,
    int: 2,
    float: 2,
    Decimal128: 2,
    str: 3,
    dict: 4,
    list: 5,
    bytes: 6,
    ObjectId: 7,
    bool: 8,
    datetime: 9,
    Timestamp: 10,
}

_NAMES = frozenset({str})
_AS_THEY_ARE = frozenset({Missing, type(None), bool, float, Decimal128, bytes, ObjectId, Timestamp})


def rank(value: Any) -> int:
    """The place of a value's kind among the kinds."""
    found = _RANKS.get(type(value))
    return found if found is not None else next(place for kind, place in _RANKS.items() if isinstance(value, kind))


def order(value: Any) -> tuple[int, Any]:
    """What sorts values as MongoDB does."""
    kind = rank(value)
    if kind <= 1:
        return kind, 0
    if type(value) is Decimal128:
        return kind, value.to_decimal()
    if kind == 4:
        return kind, tuple((name, order(item)) for name, item in value.items())
    if kind == 5:
        return kind, tuple(map(order, value))
    return kind, value


def kept(document: dict[str, Any]) -> dict[str, Any]:
    """A document as it comes back from the database.

    Raises:
        bson.errors.InvalidDocument: it cannot be stored.
    """
    return bson.decode(bson.encode(document), AWARE)


def stored(value: Any) -> Any:
    """A value as it comes back from the database, which shares nothing with it that could be changed.

    Raises:
        bson.errors.InvalidDocument: it cannot be stored.
    """
    kind = type(value)
    if kind in _AS_THEY_ARE or (kind is str and value.isascii()) or (kind is int and abs(value) < 1 << 63):
        return value
    if kind is dict and _NAMES.issuperset(map(type, value)):
        return {name: item if type(item) in _AS_THEY_ARE else stored(item) for name, item in value.items()}
    if kind is list:
        return [stored(item) for item in value]
    if kind is datetime and (value.tzinfo is UTC or value.tzinfo is utc):
        return value.replace(microsecond=value.microsecond // 1000 * 1000, tzinfo=utc)
    return kept({"value": value})["value"]


def copied(value: Any) -> Any:
    """A copy that shares nothing that could be changed."""
    if type(value) is dict:
        return {name: copied(item) if type(item) in (dict, list) else item for name, item in value.items()}
    if type(value) is list:
        return [copied(item) for item in value]
    return value


@cache
def path_of(name: str) -> tuple[str, ...]:
    """The names on the way to a field."""
    return tuple(name.split("."))


def at(document: Any, path: tuple[str, ...]) -> Any:
    """The value at a path, or MISSING."""
    for name in path:
        if type(document) is not dict or name not in document:
            return MISSING
        document = document[name]
    return document


def picked(value: Any, path: list[str]) -> Any:
    """What is at a path, with all that leads there; of a list, of each of its documents."""
    if not path:
        return value
    if type(value) is list:
        return [picked(item, path) for item in value if type(item) is dict]
    if type(value) is not dict or path[0] not in value:
        return MISSING
    inner = picked(value[path[0]], path[1:])
    return {} if inner is MISSING else {path[0]: inner}


def with_value(document: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Set the value at a path of a document whose top level may be changed; deeper levels are copied first."""
    for name in path[:-1]:
        inner = document.get(name)
        document[name] = dict(inner) if isinstance(inner, dict) else {}
        document = document[name]
    if value is MISSING:
        document.pop(path[-1], None)
    else:
        document[path[-1]] = value
