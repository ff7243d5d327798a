"""What every page looks through: the queue, the plugins, the configuration, and what a page may ask of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, cast

from ..access import Guard
from ..config import Config
from ..events import Events
from ..handlers import Handler
from ..mongodb import MongoQueue
from ..plugins import PluginState
from ..submission import Admission, Table

FRESH_SECONDS = 2.0  # how long several who look on share one look

Value = TypeVar("Value")


class PluginTable(Table, Protocol):
    """The table from type to handler that also knows how each plugin is in this process."""

    def states(self) -> Sequence[PluginState]: ...


class Room(Protocol):
    """Whether the queue has room for more, by the door's own judgement."""

    def check(self) -> None:
        """Go on only with room, or raise what the door would answer."""

    def took(self, count: int) -> None:
        """So many were accepted."""


@dataclass(frozen=True, slots=True)
class Described:
    """What a type takes: its fields, whether it takes others too, and an example in JSON."""

    fields: Sequence[Any]
    is_open: bool
    example: str


class Shared:
    """Looks that several who look on share for a moment, so that ten of them cost the database what one does."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._found: dict[Any, tuple[float, Any]] = {}
        self._locks: dict[Any, threading.Lock] = {}
        self._lock = threading.Lock()

    def look(self, name: Any, look: Callable[[], Value]) -> Value:
        """What was found under this name a moment ago, or is found now; one thread at a time looks."""
        with self._lock:
            mine = self._locks.setdefault(name, threading.Lock())
        with mine:
            at, value = self._found.get(name, (float("-inf"), None))
            if self._monotonic() - at > FRESH_SECONDS:
                value = look()
                self._found[name] = (self._monotonic(), value)
            return cast("Value", value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What pages see through.

    Attributes:
        guard: who is let in; none: everybody, for tests and tools that serve nobody else.
        describe: what a handler's type takes.
        room: asked before something is submitted from a page, as before any submission.
        reading: entered while a request's body is read, so that one who sends slowly holds up nobody.
    """

    queue: MongoQueue
    table: PluginTable
    config: Config
    events: Events
    admission: Admission
    guard: Guard | None
    describe: Callable[[Handler], Described]
    room: Room
    reading: Callable[[Any], AbstractContextManager[None]]
    shared: Shared = field(default_factory=Shared)
