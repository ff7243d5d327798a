"""What happened, told once: logs, metrics and audit listen here.

An event has a fixed name and named facts; `emit` never raises and never waits for a listener's success, so observing
can break nothing. Names are dotted, lower case, past tense: `transaction.settled`, `worker.died`.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened in this process."""

    name: str
    facts: Mapping[str, Any]


Listener = Callable[[Event], None]


class Events:
    """The place of one process where events are emitted and heard."""

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = list(listeners)

    def listen(self, listener: Listener) -> None:
        """Call `listener` with each event from now on, in the emitting thread."""
        self._listeners.append(listener)

    def ignore(self, listener: Listener) -> None:
        """Call `listener` no more."""
        self._listeners = [one for one in self._listeners if one is not listener]

    def emit(self, name: str, **facts: Any) -> None:
        """Tell all listeners; one that raises is reported on stderr and the others still hear it."""
        event = Event(name, facts)
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:
                traceback.print_exc(file=sys.stderr)
