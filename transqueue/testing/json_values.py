"""JSON values as the database would give them back: copied deeply, and refused if the database would refuse them.

What a caller does to a value after it was stored, or to one it was given, never reaches the stored one. Numbers follow
the stored form: a Decimal comes back as a float where a float carries it exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from ..mongodb.documents import restored, stored

INT64 = range(-(2**63), 2**63)


def copied(value: Any) -> Any:
    """A deep copy of a JSON value, as it comes back from the database.

    Raises:
        TypeError: it is not a JSON value.
        OverflowError: an integer does not fit in 64 bits.
    """
    _check(value)
    return restored(stored(value))


def _check(value: Any) -> None:
    if isinstance(value, Mapping):
        _check_object(value)
    elif isinstance(value, list | tuple):
        for item in value:
            _check(item)
    elif isinstance(value, int):
        _check_integer(value)
    elif value is not None and not isinstance(value, str | float | Decimal):
        raise TypeError(f"not a JSON value: {value!r}")


def _check_object(value: Mapping[Any, Any]) -> None:
    for key, item in value.items():
        if not isinstance(key, str):
            raise TypeError(f"not a JSON object: its key {key!r} is not a string")
        _check(item)


def _check_integer(value: int) -> None:
    if value not in INT64:
        raise OverflowError(f"an integer that does not fit in 64 bits: {value}")
