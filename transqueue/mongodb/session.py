"""What goes on inside a MongoDB session: who wrote, and whether the server has already ended it.

A handler may catch an error of PyMongo; the server ends the session all the same. Watching the commands is how the
executor knows, and how it knows that a handler which raised had written nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymongo.client_session import ClientSession
from pymongo.errors import PyMongoError
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

_WRITES = frozenset({"insert", "update", "delete", "findAndModify", "bulkWrite"})


class SessionWatch(CommandListener):
    """Counts what the multi-document session of this process wrote, one session at a time."""

    def __init__(self) -> None:
        self.writes = 0
        self.broken = self.begun = False
        self._inside: set[int] = set()

    def reset(self) -> None:
        """A new run of the session begins."""
        self.writes, self.broken, self.begun = 0, False, False
        self._inside.clear()

    def started(self, event: CommandStartedEvent) -> None:
        if event.command.get("autocommit") is False and event.command_name != "commitTransaction":
            self._inside.add(event.request_id)
            self.begun |= "startTransaction" in event.command

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

    def __init__(self, db: Any, watch: SessionWatch, session: ClientSession) -> None:
        self._db, self._watch, self._session = db, watch, session

    @property
    def db(self) -> Any:
        return self._db

    @property
    def writes(self) -> int:
        return self._watch.writes

    @property
    def broken(self) -> bool:
        return self._watch.broken or self._is_unbegun

    def is_conflict(self, error: BaseException) -> bool:
        transient = isinstance(error, PyMongoError) and error.has_error_label("TransientTransactionError")
        return transient and not self._is_unbegun

    @property
    def _is_unbegun(self) -> bool:
        """PyMongo failed to send the session's first command (a value that is not BSON, say), but counts it as sent.

        The server knows of no session then, refuses all that follows as if it had conflicted, and always will.
        """
        return not self._watch.begun and not self._session._transaction.starting()
