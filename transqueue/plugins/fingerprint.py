"""A short mark of what a schema takes, stamped on each transaction: equal marks mean that the same data would pass."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from marshmallow import Schema, fields

LENGTH = 8
DEPTH = 5  # of schemas that nest themselves


def fingerprint(schema: Schema | None) -> str:
    """The mark of a schema; empty for none, and for one that cannot be looked into."""
    if schema is None:
        return ""
    try:
        return hashlib.sha256("\n".join(_lines(schema, "", DEPTH)).encode()).hexdigest()[:LENGTH]
    except Exception:  # a schema is a plugin's code
        return ""


def _lines(schema: Schema, prefix: str, depth: int) -> Iterator[str]:
    yield f"{prefix}{type(schema).__name__} {schema.unknown}"
    for name, field in sorted(schema.load_fields.items()):
        path = f"{prefix}{field.data_key or name}"
        yield f"{path} {type(field).__name__} {field.required} {field.allow_none} {_rules(field)}"
        if isinstance(field, fields.Nested) and depth:
            yield from _lines(field.schema, f"{path}.", depth - 1)


def _rules(field: fields.Field[Any]) -> str:
    return "; ".join(_plain(validator) for validator in field.validators)


def _plain(validator: Any) -> str:
    """A validator by its name and what it holds that is plain: never the address of something in this process."""
    held: Mapping[str, Any] = getattr(validator, "__dict__", {})
    kept = {name: value for name, value in held.items() if isinstance(value, str | int | float | list | tuple | None)}
    return f"{getattr(validator, '__qualname__', type(validator).__qualname__)} {sorted(kept.items())}"
