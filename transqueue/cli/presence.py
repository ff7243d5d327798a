"""That a part of TransQueue runs here, said in the database every second, and the word to reload heard from there."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable
from types import TracebackType
from typing import Self

from .. import __version__
from ..admin.part import Part, Reload, Role
from ..config import Config
from ..errors import TransQueueError
from ..events import Events
from ..mongodb import MongoQueue
from ..ticker import Ticker

BEAT_SECONDS = 1.0


class Presence:
    """One part, from its start to its end; `asked` is called, in another thread, with each request to reload."""

    def __init__(self, queue: MongoQueue, role: Role, config: Config, *, events: Events) -> None:
        self._parts, self._events = queue.parts, events
        self._part = Part(
            id=uuid.uuid4().hex,
            role=role,
            host=socket.gethostname(),
            pid=os.getpid(),
            version=__version__,
            config_file=str(config.file or ""),
        )
        self.asked: Callable[[str], None] = lambda _: None
        self._ticker = Ticker("presence", BEAT_SECONDS, self._beat, events=events)

    def __enter__(self) -> Self:
        self._parts.begin(self._part)
        self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ticker.close()
        try:
            self._parts.end(self._part.id)
        except TransQueueError:  # it is seen to be gone in a few seconds all the same
            return

    def tell(self, reload: Reload) -> None:
        """How a reload ended; when the database does not answer, only the log tells."""
        try:
            self._parts.tell(self._part.id, reload)
        except TransQueueError as error:
            self._events.emit("queue.unavailable", message=str(error))

    def _beat(self) -> None:
        if request := self._parts.beat(self._part.id):
            self.asked(request)
