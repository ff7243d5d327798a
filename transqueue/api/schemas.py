"""From a Marshmallow schema to JSON Schema and an example, for those who want to know what to send.

apispec does the work; corrected here is only what would tell a submitter something wrong. A schema is a plugin's code,
so anything may be raised by all but `described`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from marshmallow import RAISE, Schema, fields, missing, validate

from ..errors import where
from ..events import Events
from ..handlers import Handler
from ..submission import write_json
from ..submission.fields import Number, Object

Described = TypeVar("Described")

ANY_OBJECT: Mapping[str, Any] = {"type": "object"}
OPENAPI = "3.1.0"
EXAMPLE_DEPTH = 5  # of schemas that nest themselves

_PYTHON_ONLY = re.compile(r"\(\?(?:P|[aiLmsux]|#|\(|<)|\\[AabBZ]|[*+?}]\+")
_PYTHON_FLAGS = re.IGNORECASE | re.VERBOSE | re.DOTALL | re.MULTILINE
_UNNAMEABLE = re.compile(r"[^A-Za-z0-9_-]")
_PLACEHOLDERS = {"string": "text", "integer": 1, "number": 1, "boolean": True, "array": [], "object": {}}
_FORMATS = {
    "date-time": "2030-01-01T08:00:00Z",
    "date": "2030-01-01",
    "uuid": "6b1f6a52-3c1b-4f0e-9d37-0a3c5d0b7f11",
    "email": "ann@example.org",
    "url": "https://example.org/",
}


class _Converter(OpenAPIConverter):
    """apispec's, with a field's own word on its type, and nothing that JSON Schema reads differently."""

    field_mapping = {**OpenAPIConverter.field_mapping, Number: ("number", None), Object: ("object", None)}  # noqa: RUF012

    def field2type_and_format(self, field: fields.Field[Any], **more: Any) -> dict[str, Any]:
        found: dict[str, Any] = super().field2type_and_format(field, **more)
        return {**found, "type": field.metadata["type"]} if "type" in field.metadata else found

    def field2default(self, field: fields.Field[Any], **more: Any) -> dict[str, Any]:
        found: dict[str, Any] = super().field2default(field, **more)
        return {} if found.get("default", missing) is None and not field.allow_none else found

    def field2pattern(self, field: fields.Field[Any], **_: Any) -> dict[str, Any]:
        found = [_portable(one.regex) for one in field.validators if isinstance(one, validate.Regexp)]
        return {"pattern": found[0]} if found and found[0] else {}

    def field2property(self, field: fields.Field[Any]) -> dict[str, Any]:
        found: dict[str, Any] = super().field2property(field)
        return {name: value for name, value in found.items() if value is not None or name in ("default", "example")}

    def schema2jsonschema(self, schema: Any) -> dict[str, Any]:
        described: dict[str, Any] = super().schema2jsonschema(schema)  # type: ignore[no-untyped-call]
        words = (type(schema).__doc__ or "").strip()
        return {
            **({"description": words} if words else {}),
            **described,
            "additionalProperties": schema.unknown != RAISE,
        }


class _Plugin(MarshmallowPlugin):
    Converter = _Converter


class _Names:
    """Component names below a prefix, each given once."""

    def __init__(self, prefix: str, taken: Collection[str]) -> None:
        self._prefix, self._taken = prefix, set(taken)

    def __call__(self, schema: Any) -> str:
        kind = schema if isinstance(schema, type) else type(schema)
        plain = name = _UNNAMEABLE.sub("_", kind.__name__)
        number = 1
        while name in self._taken:
            number += 1
            name = f"{plain}{number}"
        self._taken.add(name)
        return f"{self._prefix}.{name}"


def described(handler: Handler, events: Events, describe: Callable[[Schema], Described]) -> Described | None:
    """What `describe` makes of a handler's schema; none where it has none, or where its fields are beyond description.

    A plugin works all the same when its schema cannot be described, so that is an event and no error.
    """
    facts = {"type": handler.type, "plugin": handler.plugin}
    return described_if_possible(handler.schema, events, describe, **facts) if handler.schema else None


def described_if_possible(
    schema: Schema, events: Events, describe: Callable[[Schema], Described], **facts: str
) -> Described | None:
    """What `describe` makes of a plugin's schema; none where it cannot be described, which is told with `facts`."""
    try:
        found = describe(schema)
        write_json(found)
    except (Exception, SystemExit) as error:
        events.emit("handler.failed", **facts, part="json_schema", error=where(error))
        return None
    return found


def json_schema(schema: Schema) -> Mapping[str, Any]:
    """The JSON Schema of a Marshmallow schema, with nested ones in their place."""
    described: dict[str, Any] = _converter(_unnamed)[1].schema2jsonschema(schema)
    return described


def components(schema: Schema, prefix: str, name: str, taken: Collection[str] = ()) -> Mapping[str, Any]:
    """The JSON Schema of a Marshmallow schema as the component `<prefix>.<name>`, nested ones beside it."""
    spec, converter = _converter(_Names(prefix, {name, *taken}))
    described = converter.schema2jsonschema(schema)
    nested: Mapping[str, Any] = spec.to_dict().get("components", {}).get("schemas", {})
    return {f"{prefix}.{name}": described, **nested}


def query_parameters(schema: Schema) -> list[dict[str, Any]]:
    """The fields of a Marshmallow schema as query parameters."""
    parameters: list[dict[str, Any]] = _converter(_unnamed)[1].schema2parameters(schema, location="query")
    return parameters


def example(schema: Schema, depth: int = EXAMPLE_DEPTH) -> dict[str, Any]:
    """Data that the schema may well take: its fields' own examples, and something for others that are required."""
    found = {
        field.data_key or name: _field_example(field, depth) for name, field in schema.load_fields.items() if depth
    }
    return {name: value for name, value in found.items() if value is not missing}


def _field_example(field: fields.Field[Any], depth: int) -> Any:
    if "example" in field.metadata:
        return field.metadata["example"]
    if isinstance(field, fields.Nested):
        nested = example(field.schema, depth - 1)
        return ([nested] if field.many else nested) if nested else missing
    return _placeholder(field) if field.required else missing


def _placeholder(field: fields.Field[Any]) -> Any:
    described = _converter(_unnamed)[1].field2property(field)
    if described.get("enum"):
        return described["enum"][0]
    if described.get("format") in _FORMATS:
        return _FORMATS[described["format"]]
    kind = described.get("type", "string")
    if kind in ("integer", "number"):
        return described.get("minimum", 1)
    return _PLACEHOLDERS.get(kind if isinstance(kind, str) else kind[0], "text")


def _converter(resolver: Any) -> tuple[APISpec, _Converter]:
    plugin = _Plugin(schema_name_resolver=resolver)
    spec = APISpec("TransQueue", "1", OPENAPI, plugins=[plugin])  # gives the plugin its converter
    assert isinstance(plugin.converter, _Converter)
    return spec, plugin.converter


def _portable(regex: re.Pattern[Any]) -> str | None:
    """A pattern that Python matches from the start, as JSON Schema searches for it; none if it is Python's alone."""
    plain = re.sub(r"\\Z\Z", "$", re.sub(r"\A\\A", "", regex.pattern))
    alone = _PYTHON_ONLY.search(plain) or regex.flags & _PYTHON_FLAGS
    return None if alone else f"^(?:{plain})"


def _unnamed(_: Any) -> str:
    return ""  # so that a nested schema is written out where it is used
