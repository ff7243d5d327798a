"""What goes on inside a MongoDB session: who wrote, whether the server has already ended it, and that no handler does.

A handler may catch an error of PyMongo; the server ends the session all the same. Watching the commands is how the
executor knows, and how it knows that a handler which raised had written nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

from pymongo.client_session import ClientSession
from pymongo.errors import PyMongoError
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from ..errors import SessionKept

_WRITES = frozenset({"insert", "update", "delete", "findAndModify", "bulkWrite"})
_ENDINGS = frozenset({"commitTransaction", "abortTransaction", "endSessions", "killSessions"})
_METHODS = ("start_transaction", "commit_transaction", "abort_transaction", "with_transaction", "_end_session")


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
        return self._watch.broken or self._is_unbegun or not self._session.in_transaction

    def is_conflict(self, error: BaseException) -> bool:
        transient = isinstance(error, PyMongoError) and error.has_error_label("TransientTransactionError")
        return transient and not self._is_unbegun

    @property
    def _is_unbegun(self) -> bool:
        """PyMongo failed to send the session's first command (a value that is not BSON, say), but counts it as sent.

        The server knows of no session then, refuses all that follows as if it had conflicted, and always will.
        """
        return not self._watch.begun and not self._session._transaction.starting()


@contextmanager
def kept(session: ClientSession) -> Generator[None]:
    """Meanwhile nobody but the caller ends the session, or closes its client: it is one for all that this process runs.

    What a handler tries raises `SessionKept` in it, so its attempt fails with the reason and the session is as it was.
    """
    apply = session._apply_to
    guarded = dict.fromkeys(_METHODS, _refuse) | {"_apply_to": _refusing_endings(apply)}
    for name, guard in guarded.items():
        setattr(session, name, guard)
    session.client.close = _refuse  # type: ignore[method-assign]
    try:
        yield
    finally:
        for name in guarded:
            delattr(session, name)
        del session.client.close


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise SessionKept


def _refusing_endings(apply: Callable[..., None]) -> Callable[..., None]:
    def apply_to(command: Any, *more: Any) -> None:
        if next(iter(command)) in _ENDINGS:
            raise SessionKept
        apply(command, *more)

    return apply_to
