"""What a schema makes of data, without Marshmallow's bookkeeping of errors where there are none: it is most of a load.

A schema that only looks at its fields one by one is asked field by field, as `Schema.load` asks. At the first doubt,
and with every schema that does more, it is left to `load`: so what is wrong is always told in its words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from marshmallow import INCLUDE, RAISE, Schema, fields, missing

SCHEMAS = 1024  # remembered
_FIELDS_OWN = ("deserialize", "_validate", "_validate_all", "_validate_missing")
_ITS_OWN = ("load", "_do_load", "_deserialize", "_call_and_store", "_invoke_field_validators", "handle_error")

Deserialize = Callable[..., Any]


def load(schema: Schema, fresh: Callable[[], Any]) -> Any:
    """What `schema.load` makes of the data.

    Args:
        fresh: gives the data, for one look; a schema may change what it is given.

    Raises:
        Exception: as `schema.load` does.
    """
    plain = _remembered(schema)
    made = plain.load(fresh()) if plain else None
    return schema.load(fresh()) if made is None else made


class Plain:
    """A schema that looks at its fields one by one.

    Args:
        parts: of each field the key it reads, the key it writes, and what it does.
    """

    def __init__(self, parts: Sequence[tuple[str, str, Deserialize]], unknown: str) -> None:
        self._parts, self._unknown = tuple(parts), unknown
        self._known = frozenset(name for name, _, _ in parts)

    def load(self, data: Any) -> dict[str, Any] | None:
        """What `load` would make of it; none where it would, or might, find something wrong."""
        if not isinstance(data, dict):
            return None
        made: dict[str, Any] = {}
        try:
            for name, attribute, deserialize in self._parts:
                value = deserialize(data.get(name, missing), name, data)
                if value is not missing:
                    made[attribute] = value
        except Exception:  # whatever it is, `load` meets it again
            return None
        if data.keys() <= self._known:
            return made
        return None if self._unknown == RAISE else made | self._others(data)

    def _others(self, data: dict[str, Any]) -> dict[str, Any]:
        if self._unknown != INCLUDE:
            return {}
        return {name: value for name, value in data.items() if name not in self._known}


def _remembered(schema: Schema) -> Plain | None:
    try:
        return plain_of(schema)
    except Exception:  # one that cannot be remembered, or that is odd in some other way
        return None


@lru_cache(SCHEMAS)
def plain_of(schema: Schema) -> Plain | None:
    """The schema as a plain one; none where only `load` can tell."""
    hooks = getattr(schema, "_hooks", None)
    plain = hooks is not None and not any(hooks.values()) and not schema.many and not schema.partial
    own = all(getattr(type(schema), name, None) is getattr(Schema, name, schema) for name in _ITS_OWN)
    flat = all("." not in (field.attribute or name) for name, field in schema.load_fields.items())
    if not (plain and own and flat and schema.dict_class is dict):
        return None
    parts = [
        (name if field.data_key is None else field.data_key, field.attribute or name, _deserialize_of(field))
        for name, field in schema.load_fields.items()
    ]
    return Plain(parts, schema.unknown)


def _deserialize_of(field: fields.Field[Any]) -> Deserialize:
    """The field's `deserialize`, or its steps for a value that is there, without one object made for each value."""
    own = all(getattr(type(field), name) is getattr(fields.Field, name) for name in _FIELDS_OWN)
    if not own or field.pre_load or field.post_load or not vars(field).keys().isdisjoint(_FIELDS_OWN):
        return field.deserialize
    whole, make = field.deserialize, field._deserialize

    def deserialize(value: Any, name: str, data: Any) -> Any:
        if value is missing or value is None:
            return whole(value, name, data)
        made = make(value, name, data)
        for validator in field.validators:
            validator(made)
        return made

    return deserialize
