"""Which options of a plugin are secret, and texts without them.

An option is secret when its field is `load_only=True`, or says `metadata={"secret": True}`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from marshmallow import Schema, fields

MASK = "***"
SHORTEST = 4  # characters; what is shorter could be a part of any word


def is_secret(field: fields.Field[Any]) -> bool:
    """Whether an option is never shown."""
    return bool(field.load_only or field.metadata.get("secret"))


def secrets_in(schema: Schema, given: Any) -> tuple[str, ...]:
    """The texts in an admin's section that are never shown, the longest first."""
    return tuple(sorted(set(_secrets(schema, given)), key=len, reverse=True))


def masked(text: str, secrets: Sequence[str]) -> str:
    """The text with every secret in it masked."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text


def _secrets(schema: Schema, given: Any) -> Iterator[str]:
    for name, field in schema.load_fields.items():
        value = given.get(field.data_key or name) if isinstance(given, Mapping) else None
        if is_secret(field):
            yield from _texts(value)
        elif isinstance(field, fields.Nested):
            for one in value if isinstance(value, list | tuple) else [value]:
                yield from _secrets(field.schema, one)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
    elif value is not None and len(str(value)) >= SHORTEST:
        yield str(value)
