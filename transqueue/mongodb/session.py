"""What goes on inside a MongoDB session: who wrote, and whether the server has already ended it.

A handler may catch an error of PyMongo; the server ends the session all the same. Watching the commands is how the
executor knows, and how it knows that a handler which raised had written nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymongo.errors import PyMongoError
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

_WRITES = frozenset({"insert", "update", "delete", "findAndModify", "bulkWrite"})


class SessionWatch(CommandListener):
    """Counts what the multi-document session of this process wrote, one session at a time."""

    def __init__(self) -> None:
        self.writes = 0
        self.broken = False
        self._inside: set[int] = set()

    def reset(self) -> None:
        """A new run of the session begins."""
        self.writes, self.broken = 0, False
        self._inside.clear()

    def started(self, event: CommandStartedEvent) -> None:
        if event.command.get("autocommit") is False and event.command_name != "commitTransaction":
            self._inside.add(event.request_id)

    def succeeded(self, event: CommandSucceededEvent) -> None:
        if event.request_id in self._inside:
            self._inside.discard(event.request_id)
            self.writes += event.command_name in _WRITES and _changed(event.reply)
            self.broken |= bool(event.reply.get("writeErrors"))

    def failed(self, event: CommandFailedEvent) -> None:
        if event.request_id in self._inside:
            self._inside.discard(event.request_id)
            self.broken = True


def _changed(reply: Mapping[str, Any]) -> bool:
    """Whether a write command matched anything; one that matched nothing has written nothing."""
    found: Mapping[str, Any] = reply.get("lastErrorObject", reply)
    return bool(found.get("n", 1))


class SessionEffects:
    """The database side of one run of a session, as `queue.Effects` promises."""

    def __init__(self, db: Any, watch: SessionWatch) -> None:
        self._db, self._watch = db, watch

    @property
    def db(self) -> Any:
        return self._db

    @property
    def writes(self) -> int:
        return self._watch.writes

    @property
    def broken(self) -> bool:
        return self._watch.broken

    def is_conflict(self, error: BaseException) -> bool:
        return isinstance(error, PyMongoError) and error.has_error_label("TransientTransactionError")
