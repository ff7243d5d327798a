"""JSON values as the database would give them back: copied deeply, and refused if the database would refuse them.

What a caller does to a value after it was stored, or to one it was given, never reaches the stored one. Numbers follow
the stored form: a Decimal comes back as a float where a float carries it exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from importlib import import_module
from typing import Any

INT64 = range(-(2**63), 2**63)


def copied(value: Any) -> Any:
    """A deep copy of a JSON value, as it comes back from the database.

    Raises:
        TypeError: it is not a JSON value.
        OverflowError: an integer does not fit in 64 bits.
        decimal.Inexact: a Decimal has more than 34 digits.
    """
    if isinstance(value, Mapping):
        return {_key(key): copied(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [copied(item) for item in value]
    if isinstance(value, Decimal):
        return _decimal(value)
    if isinstance(value, int):
        return _integer(value)
    if value is None or isinstance(value, str | float):
        return value
    raise TypeError(f"not a JSON value: {value!r}")


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"not a JSON object: its key {key!r} is not a string")
    return key


def _decimal(value: Decimal) -> Any:
    if Decimal(repr(float(value))) == value:
        return float(value)
    return import_module("bson").Decimal128(value).to_decimal()  # slow, and rare: only where it is used


def _integer(value: int) -> int:
    if value not in INT64:
        raise OverflowError(f"an integer that does not fit in 64 bits: {value}")
    return value
