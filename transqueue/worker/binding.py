"""What a process that executes makes of the table: handlers ready to be called, and what makes their follow-ups."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import isclass
from typing import Any

from ..errors import where
from ..events import Events
from ..executor import Bound, NewTransaction
from ..plugins import HandlerTable
from ..plugins.enabled import Before, nothing
from ..process.event_loop import EventLoop
from ..submission import Admission, read_envelope, read_json, write_json
from ..transaction import Transaction


def bind(table: HandlerTable, events: Events, loop: EventLoop, before: Before = nothing) -> dict[str, Bound]:
    """The handlers of the table, ready to be called here. One whose class cannot be made is told, and parks.

    Args:
        loop: runs those that are `async def`.
        before: told of each plugin before a class of it is made.

    Raises:
        PluginBroken: only when strict.
    """
    bounds: dict[str, Bound] = {}
    for type, handler in table.types().items():
        config = table.config_of(handler.plugin)
        if isclass(handler.target):
            before(handler.plugin, "handlers")
        try:
            call = handler.callable(config)
            if handler.is_async:
                call = loop.blocking(call, timeout_seconds=handler.timeout_seconds)
            bounds[type] = Bound(handler, table.wrapped(handler, call), config)
        except BaseException as error:
            events.emit("plugin.broken", plugin=handler.plugin, type=type, phase="handlers", reason=where(error))
            table.fail(handler.plugin, type, where(error))
    return bounds


def is_parked(table: HandlerTable, bounds: Mapping[str, Bound], type: str) -> bool:
    """Whether the claim that a type falls under has no handler that works here."""
    handler = table.resolve(type)
    return handler is None or handler.type not in bounds


def follow_ups(admission: Admission) -> NewTransaction:
    """What makes follow-ups: read as strictly as if they came through the door."""

    def new(type: str, data: Mapping[str, Any], options: Mapping[str, Any]) -> Transaction:
        sent = {"type": type, "data": data} | ({"options": options} if options else {})
        return admission.admit(read_envelope(read_json(write_json(sent, strict=True).encode())))

    return new
