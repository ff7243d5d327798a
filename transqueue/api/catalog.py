"""What can be submitted, and who processes it: transaction types and plugins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from flask import Response

from ..admin.part import Part
from ..admin.pause import Pause
from ..admin.report import ProcessReport
from ..errors import SubmissionRefused
from ..events import Events
from ..handlers import Handler
from ..plugins import PluginState
from ..queue import TransactionQueue
from ..submission import SINGLE_BYTES, Table
from .pauses import shown_pause
from .responses import success

Reports = Callable[[], Sequence[ProcessReport]]


class PluginTable(Table, Protocol):
    """The table that also knows how each plugin is."""

    def states(self) -> Sequence[PluginState]:
        """Every plugin that is enabled or installed."""
        ...


class Catalog:
    """What submitters and admins read about types and plugins."""

    def __init__(
        self,
        table: PluginTable,
        queue: TransactionQueue,
        reports: Reports,
        parts: Callable[[], Sequence[Part]],
        events: Events,
    ) -> None:
        self._table, self._queue, self._events = table, queue, events
        self._reports, self._parts = reports, parts

    def types(self) -> Response:
        """Every claimed type."""
        paused = self._queue.paused()
        handlers = [handler for _, handler in sorted(self._table.types().items())]
        return success({"types": [self._described(handler, handler.type, paused) for handler in handlers]})

    def type(self, type: str) -> Response:
        """One type, also one of a claimed family."""
        handler = self._table.types().get(type) or self._table.resolve(type)
        if handler is None:
            reason = self._table.parked(type)
            cause = f" The plugin that claims it is not working: {reason}." if reason else ""
            raise SubmissionRefused(404, "not_found", f"There is no handler for the type {type!r}.{cause}")
        return success(self._described(handler, type, self._queue.paused()))

    def plugins(self) -> Response:
        """Every plugin, how it is here and in each other process; and what runs where, with its last reload."""
        processes = [asdict(report) for report in self._reports()]
        states = [asdict(state) for state in self._table.states()]
        return success({"plugins": states, "processes": processes, "parts": [asdict(part) for part in self._parts()]})

    def _described(self, handler: Handler, type: str, paused: Mapping[str, Pause]) -> dict[str, Any]:
        from .schemas import ANY_OBJECT, described, example, json_schema  # noqa: PLC0415  (slow, and few are asked)

        found = described(handler, self._events, lambda schema: (json_schema(schema), example(schema)))
        schema, data = found or (ANY_OBJECT, {})
        return {
            "type": handler.type,
            "summary": handler.summary,
            "schema": schema,
            "example": data,
            "limits": _limits(handler),
            "plugin": handler.plugin,
            "version": handler.version,
            "paused": shown_pause(type, paused),
        }


def _limits(handler: Handler) -> dict[str, Any]:
    return {
        "max_attempts": handler.max_attempts,
        "backoff_seconds": list(handler.backoff_seconds),
        "timeout_seconds": handler.timeout_seconds,
        "ordered": handler.ordering_key is not None,
        "bytes": SINGLE_BYTES,
    }
