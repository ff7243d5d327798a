"""Whether data plainly fits a schema, found out without Marshmallow's bookkeeping of errors, which is most of a load.

It asks each field what `Schema.load` asks it, and gives up at the first doubt: what does not fit, and every schema that
does more than look at its fields one by one, is left to `load`, so what is wrong is always told in its words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from marshmallow import RAISE, Schema, missing
from marshmallow.fields import Field

SCHEMAS = 1024  # remembered
_OF_SCHEMA = ("load", "_do_load", "_deserialize", "_call_and_store", "_invoke_field_validators", "handle_error")
_OF_FIELD = ("deserialize", "_validate", "_validate_all", "_validate_missing")


@dataclass(frozen=True, slots=True)
class Part:
    """What a schema says of one key: what `Field.deserialize` asks, step by step."""

    name: str
    read: Callable[..., Any]
    validators: Sequence[Callable[[Any], Any]]
    optional: bool
    takes_none: bool

    def holds(self, value: Any, data: dict[str, Any]) -> bool:
        """Whether a value fits; raises what the field raises."""
        if value is missing:
            return self.optional
        if value is None:
            return self.takes_none
        output = self.read(value, self.name, data)
        for validator in self.validators:
            validator(output)
        return True


class Fit:
    """One schema that looks at its fields one by one."""

    def __init__(self, parts: Sequence[Part], *, others: bool) -> None:
        self._parts, self._others = tuple(parts), others
        self._names = frozenset(part.name for part in parts)

    def holds(self, data: dict[str, Any]) -> bool:
        """Whether `load` would find nothing wrong."""
        try:
            for part in self._parts:
                if not part.holds(data.get(part.name, missing), data):
                    return False
        except Exception:  # whatever it is, `load` meets it again
            return False
        return self._others or data.keys() <= self._names


@lru_cache(SCHEMAS)
def fit_of(schema: Schema) -> Fit | None:
    """How to look whether data fits; none where only `load` can tell."""
    hooks = getattr(schema, "_hooks", None)
    plain = hooks is not None and not any(hooks.values()) and not schema.many and not schema.partial
    if not (plain and _inherits(schema, Schema, _OF_SCHEMA)):
        return None
    parts = [_part(name, field) for name, field in schema.load_fields.items()]
    known = [part for part in parts if part is not None]
    return Fit(known, others=schema.unknown != RAISE) if len(known) == len(parts) else None


def _part(name: str, field: Field[Any]) -> Part | None:
    if not _inherits(field, Field, _OF_FIELD) or field.pre_load or field.post_load or callable(field.load_default):
        return None
    if "." in (field.attribute or name):
        return None
    key = name if field.data_key is None else field.data_key
    return Part(key, field._deserialize, field.validators, not field.required, field.allow_none)


def _inherits(one: object, kind: type, names: Sequence[str]) -> bool:
    """Whether these are as Marshmallow has them."""
    return all(getattr(type(one), name, None) is getattr(kind, name, one) for name in names)
