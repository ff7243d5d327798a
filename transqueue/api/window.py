"""What the window at /ui needs of the door: how a type is described, and how a body is read without a slot."""

from __future__ import annotations

from functools import partial

from flask import Blueprint

from ..access import Guard
from ..config import Config
from ..dashboard import Described, Window, dashboard
from ..dashboard.window import PluginTable
from ..dashboard.words import in_lines
from ..events import Events
from ..handlers import Handler
from ..mongodb import MongoQueue
from ..submission import Admission
from .gate import lent
from .overload import Overload
from .rows import rows
from .schemas import ANY_OBJECT, described, example, json_schema


def window(
    queue: MongoQueue,
    table: PluginTable,
    config: Config,
    events: Events,
    guard: Guard | None,
    overload: Overload | None = None,
) -> Blueprint:
    """The window at /ui; `overload` is the door's own, if what is served has one."""
    return dashboard(
        Window(
            queue=queue,
            table=table,
            config=config,
            events=events,
            admission=Admission(table=table, default_type=config.default_type, clock=queue.clock, events=events),
            guard=guard,
            room=overload or Overload(queue.measures, queue.clock, config.api.max_queued),
            describe=partial(_described, events=events),
            reading=lent,
        )
    )


def _described(handler: Handler, *, events: Events) -> Described:
    """What a type takes, as the description of the door has it."""
    found = described(handler, events, lambda schema: (json_schema(schema), example(schema)))
    schema, data = found or (ANY_OBJECT, {})
    return Described(list(rows(schema, {})), schema.get("additionalProperties", True) is not False, in_lines(data))
