"""What can be submitted, and who processes it: transaction types and plugins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Response
from marshmallow import INCLUDE, Schema, fields, missing

from ..errors import SubmissionRefused
from ..events import Events
from ..handlers import Handler
from ..plugins import PluginState
from ..submission import Table
from .answers import success
from .submissions import SINGLE_BYTES

ANY_OBJECT: Mapping[str, Any] = {"type": "object"}


class PluginTable(Table, Protocol):
    """The table that also knows how each plugin is."""

    def states(self) -> Sequence[PluginState]:
        """Every plugin that is enabled or installed."""
        ...


class Catalog:
    """What submitters and admins read about types and plugins."""

    def __init__(self, table: PluginTable, events: Events) -> None:
        self._table, self._events = table, events

    def types(self) -> Response:
        """Every claimed type."""
        return success({"types": [self._described(handler) for _, handler in sorted(self._table.types().items())]})

    def type(self, type: str) -> Response:
        """One type, also one of a claimed family."""
        handler = self._table.types().get(type) or self._table.resolve(type)
        if handler is None:
            reason = self._table.parked(type)
            cause = f" The plugin that claims it is not working: {reason}." if reason else ""
            raise SubmissionRefused(404, "not_found", f"There is no handler for the type {type!r}.{cause}")
        return success(self._described(handler))

    def plugins(self) -> Response:
        """Every plugin that is enabled or installed, how it is, and why it is not working."""
        return success({"plugins": [asdict(state) for state in self._table.states()]})

    def _described(self, handler: Handler) -> dict[str, Any]:
        return {
            "type": handler.type,
            "summary": handler.summary,
            "schema": self._json_schema(handler),
            "example": _example(handler.schema) if handler.schema else {},
            "limits": _limits(handler),
            "plugin": handler.plugin,
            "version": handler.version,
        }

    def _json_schema(self, handler: Handler) -> Mapping[str, Any]:
        try:
            return json_schema(handler.schema) if handler.schema else ANY_OBJECT
        except Exception as error:  # a plugin's own fields may be beyond description; it works all the same
            facts = {"type": handler.type, "plugin": handler.plugin, "part": "json_schema", "error": repr(error)}
            self._events.emit("handler.failed", **facts)
            return ANY_OBJECT


def json_schema(schema: Schema) -> Mapping[str, Any]:
    """The JSON Schema of a Marshmallow schema, with nested ones in their place."""
    plugin = MarshmallowPlugin(schema_name_resolver=_unnamed)
    APISpec("TransQueue", "1", "3.1.0", plugins=[plugin])  # gives the plugin its converter
    assert plugin.converter is not None
    described = dict(plugin.converter.schema2jsonschema(schema))  # type: ignore[no-untyped-call]
    described["additionalProperties"] = schema.unknown == INCLUDE
    return described


def _unnamed(_: type[Schema]) -> str:
    return ""  # so that a nested schema is written out where it is used


def _example(schema: Schema) -> dict[str, Any]:
    found = {field.data_key or name: _field_example(field) for name, field in schema.load_fields.items()}
    return {name: example for name, example in found.items() if example is not missing}


def _field_example(field: fields.Field[Any]) -> Any:
    if "example" in field.metadata:
        return field.metadata["example"]
    if isinstance(field, fields.Nested):
        nested = _example(field.schema)
        return ([nested] if field.many else nested) if nested else missing
    return missing


def _limits(handler: Handler) -> dict[str, Any]:
    return {
        "max_attempts": handler.max_attempts,
        "backoff_seconds": list(handler.backoff_seconds),
        "timeout_seconds": handler.timeout_seconds,
        "ordered": handler.ordering_key is not None,
        "bytes": SINGLE_BYTES,
    }
