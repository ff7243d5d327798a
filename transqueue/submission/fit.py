"""Whether data plainly fits a schema, found out without Marshmallow's bookkeeping of errors, which is most of a load.

It asks each field what `Schema.load` asks it, and gives up at the first doubt: what does not fit, and every schema that
does more than look at its fields one by one, is left to `load`, so what is wrong is always told in its words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from marshmallow import RAISE, Schema, missing

Deserialize = Callable[..., Any]

SCHEMAS = 1024  # remembered
_OWN = ("load", "_do_load", "_deserialize", "_call_and_store", "_invoke_field_validators", "handle_error")


class Fit:
    """One schema that looks at its fields one by one."""

    def __init__(self, fields: Mapping[str, Deserialize], *, others: bool) -> None:
        self._fields, self._names, self._others = tuple(fields.items()), fields.keys(), others

    def holds(self, data: dict[str, Any]) -> bool:
        """Whether `load` would find nothing wrong."""
        try:
            for name, deserialize in self._fields:
                deserialize(data.get(name, missing), name, data)
        except Exception:  # whatever it is, `load` meets it again
            return False
        return self._others or data.keys() <= self._names


@lru_cache(SCHEMAS)
def fit_of(schema: Schema) -> Fit | None:
    """How to look whether data fits; none where only `load` can tell."""
    fields = schema.load_fields
    hooks = getattr(schema, "_hooks", None)
    plain = hooks is not None and not any(hooks.values()) and not schema.many and not schema.partial
    own = all(getattr(type(schema), name, None) is getattr(Schema, name, schema) for name in _OWN)
    flat = all("." not in (field.attribute or name) for name, field in fields.items())
    if not (plain and own and flat):
        return None
    asked = {name if field.data_key is None else field.data_key: field.deserialize for name, field in fields.items()}
    return Fit(asked, others=schema.unknown != RAISE)
