"""A session as PyMongo has it, on the simulated store; what it does when something goes wrong is PyMongo's own code."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

from pymongo import _csot
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.synchronous.client_session import ClientSession as RealSession

from .command import Command
from .store import Document, Steps

CALL_SECONDS = 5.0
BOUND: ContextVar[Any] = ContextVar("bound", default=None)
_NUMBERS = itertools.count(1)


def seconds_left() -> float:
    """How long the next command may take."""
    left = _csot.remaining()
    return CALL_SECONDS if left is None else left


class ClientSession:
    """A session as PyMongo has it; what it does about errors is PyMongo's own code."""

    def __init__(self, client: Any, id: Mapping[str, Any]) -> None:
        self.client, self.session_id = client, id
        self._state, self._number = "none", 0
        self._transaction = SimpleNamespace(starting=lambda: self._state == "starting")  # as `SessionEffects` looks

    def __enter__(self) -> ClientSession:
        return self

    def __exit__(self, *_: object) -> None:
        if self.in_transaction:
            self.abort_transaction()

    @property
    def in_transaction(self) -> bool:
        return self._state in ("starting", "open")

    def with_transaction(self, callback: Callable[[Any], Any], **options: Any) -> Any:
        return RealSession.with_transaction(self, callback, **options)  # type: ignore[arg-type]

    @contextmanager
    def bind(self, end_session: bool = True) -> Iterator[ClientSession]:
        token = BOUND.set(self)
        try:
            yield self
        finally:
            BOUND.reset(token)

    def _apply_to(self, *_: Any) -> None:
        """Where PyMongo puts a session's own fields into a command, and no handler may end it (`mongodb.session`)."""

    def start_transaction(self, *_: Any) -> None:
        if self.in_transaction:
            raise PyMongoError("Transaction already in progress")
        self._state, self._number = "starting", self._number + 1

    def call(self, name: str, made: Callable[[Any], Steps], timeout: float, *, writes: bool) -> Any:
        """One command inside; whatever goes wrong in it ends the session on the server."""
        starting, self._state = self._state == "starting", "open"
        store, id, number = self.client.network.store, self.session_id["id"], self._number

        def steps() -> Steps:
            session = store.enter(id, number, starting=starting)
            try:
                answer = yield from made(session)
            except OperationFailure:
                store.abort(session)
                raise
            if name == "insert" and answer:
                store.abort(session)
            return answer

        sent = {"autocommit": False} | ({"startTransaction": True} if starting else {})
        told = SimpleNamespace(command_name=name, command=sent, request_id=next(_NUMBERS))
        for listener in self.client.listeners:
            listener.started(told)
        try:
            answer = self.client.network.call(
                self.client.name, Command(name, steps, timeout, in_session=True, writes=writes)
            )
        except PyMongoError:
            for listener in self.client.listeners:
                listener.failed(told)
            raise
        told.reply = _reply(name, answer)
        for listener in self.client.listeners:
            listener.succeeded(told)
        return answer

    def commit_transaction(self) -> None:
        if self._state in ("none", "aborted"):
            raise PyMongoError("No transaction started")
        if self._state == "starting":
            self._state = "empty"
        if self._state == "empty":
            return
        self._state = "committed"
        store, id, number = self.client.network.store, self.session_id["id"], self._number
        self._finish("commitTransaction", lambda: store.commit(self.client.name, id, number))

    def abort_transaction(self) -> None:
        state, self._state = self._state, "aborted"
        store, id, number = self.client.network.store, self.session_id["id"], self._number

        def abort() -> Steps:
            yield from ()
            present = store.sessions.get(id)
            if present and present.number == number:
                store.abort(present)

        if state == "open":
            with suppress(PyMongoError):  # as PyMongo does
                self._finish("abortTransaction", abort)

    def _finish(self, name: str, steps: Callable[[], Steps]) -> None:
        command = Command(name, steps, seconds_left(), in_session=True, writes=name == "commitTransaction")
        self.client.network.call(self.client.name, command)


def _reply(name: str, answer: Any) -> Document:
    """As much of the server's reply as a listener of ours looks at."""
    if name == "insert":
        return {"n": 1, "writeErrors": answer} if answer else {"n": 1}
    if name in ("update", "findAndModify") and isinstance(answer, tuple):
        return {"n": answer[0] + (answer[2] is not None)}
    if isinstance(answer, dict) and "nMatched" in answer:
        return {"n": sum(answer.values())}
    return {"n": answer} if name == "delete" else {}
