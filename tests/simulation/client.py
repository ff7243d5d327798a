"""PyMongo's face on the simulated store, as far as the queue and the handlers use it.

What a session does when something goes wrong is PyMongo's own code (`with_transaction`); so are its errors and its
deadlines. Everything else is small: each call is one command, which the network carries out, delays, or loses.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from types import SimpleNamespace
from typing import Any, Protocol

from pymongo import _csot
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure, PyMongoError
from pymongo.operations import DeleteMany, DeleteOne, InsertOne, UpdateMany, UpdateOne
from pymongo.results import BulkWriteResult, DeleteResult, InsertManyResult, InsertOneResult, UpdateResult
from pymongo.synchronous.client_session import ClientSession as RealSession

from .store import Document, Shape, Steps, Store
from .values import AWARE

CALL_SECONDS = 5.0
_BOUND: ContextVar[Any] = ContextVar("bound", default=None)
_NUMBERS = itertools.count(1)


@dataclass(slots=True)
class Command:
    """One command to the server: what it does there, made when it arrives."""

    name: str
    steps: Callable[[], Steps]
    timeout: float
    in_session: bool = False
    writes: bool = False


class Network(Protocol):
    """Carries commands to the store."""

    store: Store

    def call(self, caller: str, command: Command) -> Any:
        """The answer of the server.

        Raises:
            PyMongoError: what the server, or the network, has to say.
        """


class Client:
    """A client of one process."""

    def __init__(self, network: Network, name: str = "", listeners: Sequence[Any] = ()) -> None:
        self.network, self.name, self.listeners = network, name, listeners
        self.admin = SimpleNamespace(command=self._admin)

    def __getitem__(self, name: str) -> Database:
        return Database(self, name)

    def get_database(self, name: str, **_: Any) -> Database:
        return Database(self, name)

    def close(self) -> None: ...

    def start_session(self, **_: Any) -> ClientSession:
        return ClientSession(self, {"id": self.network.store.new_session_id()})

    def call(
        self, name: str, session: ClientSession | None, made: Callable[[Any], Steps], *, writes: bool = False
    ) -> Any:
        """Have one command done, in a session or outside."""
        left = _csot.remaining()
        timeout = CALL_SECONDS if left is None else left
        session = session or _BOUND.get()
        if session is None or not session.in_transaction:
            return self.network.call(self.name, Command(name, lambda: made(None), timeout, writes=writes))
        return session.call(name, made, timeout, writes=writes)

    def _admin(self, command: str, value: Any = 1) -> Document:
        store = self.network.store
        if command == "hello":
            local = store.now().replace(tzinfo=None)
            return {"setName": "simulated", "maxWireVersion": 17, "localTime": local, "isWritablePrimary": True}
        if command == "replSetGetConfig":
            return {"config": {"writeConcernMajorityJournalDefault": True}}
        if command == "ping":
            return {"ok": 1}
        if command != "killSessions":
            raise NotImplementedError(f"the simulated store does not know {command}: add it to {__name__}")

        def kill(_: Any) -> Steps:
            yield from ()
            store.kill_sessions(value)
            return {"ok": 1}

        return self.call(command, None, kill)


class ClientSession:
    """A session as PyMongo has it; what it does about errors is PyMongo's own code."""

    def __init__(self, client: Client, id: Mapping[str, Any]) -> None:
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
        token = _BOUND.set(self)
        try:
            yield self
        finally:
            _BOUND.reset(token)

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
        left = _csot.remaining()
        timeout = CALL_SECONDS if left is None else left
        writes = name == "commitTransaction"
        self.client.network.call(self.client.name, Command(name, steps, timeout, in_session=True, writes=writes))


class Database:
    """A database: its collections by name."""

    def __init__(self, client: Client, name: str) -> None:
        self.client, self.name = client, name

    def __getitem__(self, name: str) -> Collection:
        return Collection(self, name)

    def __getattr__(self, name: str) -> Collection:
        return Collection(self, name)

    def get_collection(self, name: str, **_: Any) -> Collection:
        return Collection(self, name)

    def with_options(self, **_: Any) -> Database:
        return self

    def command(self, command: str, name: str, *, query: Mapping[str, Any], limit: int = 0, **_: Any) -> Document:
        if command != "count":
            raise NotImplementedError(f"the simulated store does not know {command}: add it to {__name__}")
        return {"n": len(list(self[name].find(query, {"_id": 1}).limit(limit)))}

    def list_collection_names(self) -> list[str]:
        return sorted(self.client.network.store.latest)


class Collection:
    """A collection, with the calls that the queue and the handlers make."""

    codec_options = AWARE

    def __init__(self, database: Database, name: str) -> None:
        self.database, self.name = database, name
        self._call, self._caller, self._store = (
            database.client.call,
            database.client.name,
            database.client.network.store,
        )

    def with_options(self, **_: Any) -> Collection:
        return self

    def index_information(self) -> Document:
        return {}

    def estimated_document_count(self) -> int:
        return len(self._store.latest.get(self.name, {}))

    def create_indexes(self, models: Sequence[Any]) -> None:
        wanted = self._store.unique.setdefault(self.name, [])
        for model in models:
            key = tuple(model.document["key"])
            if model.document.get("unique") and key not in wanted:
                wanted.append(key)

    # Reading

    def find(
        self, query: Mapping[str, Any] | None = None, projection: Any = None, *, session: Any = None, hint: Any = None
    ) -> Cursor:
        return Cursor(self, query or {}, projection, session)

    def find_one(
        self, query: Any = None, projection: Any = None, *, session: Any = None, hint: Any = None, **_: Any
    ) -> Any:
        query = {"_id": query} if query is not None and not isinstance(query, Mapping) else query
        return next(iter(Cursor(self, query or {}, projection, session).limit(1)), None)

    def distinct(self, name: str, query: Mapping[str, Any] | None = None, **_: Any) -> list[Any]:
        rows = self.find(query or {}, {name: 1})
        values = [row.get(name) for row in rows]
        return sorted({value for value in values if value is not None})

    def count_documents(self, query: Mapping[str, Any], *, session: Any = None, **_: Any) -> int:
        return len(list(self.find(query, {"_id": 1}, session=session)))

    def aggregate(
        self, stages: Sequence[Mapping[str, Any]], *, session: Any = None, hint: Any = None
    ) -> Iterator[Document]:
        return iter(self._call("aggregate", session, lambda on: self._store.aggregate(self.name, stages, on)))

    # Writing

    def insert_one(self, document: Document, *, session: Any = None) -> InsertOneResult:
        errors = self._insert([document], session)
        if errors:
            raise errors[0][1]
        return InsertOneResult(document.get("_id"), acknowledged=True)

    def insert_many(
        self, documents: Sequence[Document], *, ordered: bool = True, session: Any = None
    ) -> InsertManyResult:
        errors = self._insert(list(documents), session)
        if errors:
            told = [{"index": place, "code": 11000, "errmsg": str(error)} for place, error in errors]
            raise BulkWriteError(
                {"writeErrors": told, "writeConcernErrors": [], "nInserted": len(documents) - len(told)}
            )
        return InsertManyResult([one.get("_id") for one in documents], acknowledged=True)

    def _insert(self, documents: Sequence[Document], session: Any) -> list[tuple[int, DuplicateKeyError]]:
        made = lambda on: self._store.insert(self._caller, self.name, documents, on)  # noqa: E731
        return self._call("insert", session, made, writes=True)

    def update_one(
        self, query: Any, update: Any, upsert: bool = False, *, session: Any = None, **_: Any
    ) -> UpdateResult:
        return self._updated(query, update, session, upsert=upsert, many=False)

    def update_many(
        self, query: Any, update: Any, upsert: bool = False, *, session: Any = None, **_: Any
    ) -> UpdateResult:
        return self._updated(query, update, session, upsert=upsert, many=True)

    def replace_one(self, query: Any, document: Any, upsert: bool = False, *, session: Any = None) -> UpdateResult:
        return self._updated(query, document, session, upsert=upsert, many=False)

    def _updated(self, query: Any, update: Any, session: Any, *, upsert: bool, many: bool) -> UpdateResult:
        made = lambda on: self._store.update(self._caller, self.name, query, update, on, upsert=upsert, many=many)  # noqa: E731
        matched, modified, upserted, _, _ = self._call("update", session, made, writes=True)
        n = matched + (upserted is not None)
        told = {"n": n, "nModified": modified} | ({"upserted": upserted} if upserted is not None else {})
        return UpdateResult(told, acknowledged=True)

    def find_one_and_update(
        self,
        query: Any,
        update: Any,
        projection: Any = None,
        sort: Any = (),
        upsert: bool = False,
        return_document: bool = False,
        *,
        session: Any = None,
        **_: Any,
    ) -> Document | None:
        made = lambda on: self._store.update(self._caller, self.name, query, update, on, upsert=upsert, sort=sort or ())  # noqa: E731
        _, _, _, before, after = self._call("findAndModify", session, made, writes=True)
        found = after if return_document else before
        return None if found is None else Shape(projection).of([found])[0]

    def delete_one(self, query: Any, *, session: Any = None) -> DeleteResult:
        return self._deleted(query, session, many=False)

    def delete_many(self, query: Any, *, session: Any = None) -> DeleteResult:
        return self._deleted(query, session, many=True)

    def _deleted(self, query: Any, session: Any, *, many: bool) -> DeleteResult:
        made = lambda on: self._store.delete(self._caller, self.name, query, on, many=many)  # noqa: E731
        return DeleteResult({"n": self._call("delete", session, made, writes=True)}, acknowledged=True)

    def bulk_write(self, writes: Sequence[Any], *, ordered: bool = True, session: Any = None) -> BulkWriteResult:
        """One command per kind of write, as the driver sends them."""
        counted = {"nMatched": 0, "nModified": 0, "nUpserted": 0, "nInserted": 0, "nRemoved": 0, "upserted": []}
        for kind, group in itertools.groupby(writes, key=_kind):
            for name, count in self._call(kind, session, self._bulk(list(group)), writes=True).items():
                counted[name] += count
        return BulkWriteResult(counted, acknowledged=True)

    def _bulk(self, writes: Sequence[Any]) -> Callable[[Any], Steps]:
        def made(on: Any) -> Steps:
            counted = dict.fromkeys(("nMatched", "nModified", "nUpserted", "nInserted", "nRemoved"), 0)
            for write in writes:
                yield from self._bulk_one(write, on, counted)
            return counted

        return made

    def _bulk_one(self, write: Any, on: Any, counted: dict[str, int]) -> Steps:
        if isinstance(write, InsertOne):
            errors = yield from self._store.insert(self._caller, self.name, [write._doc], on)
            if errors:
                raise errors[0][1]
            counted["nInserted"] += 1
        elif isinstance(write, DeleteOne | DeleteMany):
            many = isinstance(write, DeleteMany)
            counted["nRemoved"] += yield from self._store.delete(self._caller, self.name, write._filter, on, many=many)
        else:
            matched, modified, upserted, _, _ = yield from self._store.update(
                self._caller,
                self.name,
                write._filter,
                write._doc,
                on,
                upsert=bool(write._upsert),
                many=isinstance(write, UpdateMany),
            )
            counted["nMatched"] += matched
            counted["nModified"] += modified
            counted["nUpserted"] += upserted is not None


@dataclass
class Cursor:
    """What a search finds, asked for when it is first looked at."""

    collection: Collection
    query: Mapping[str, Any]
    projection: Any
    session: Any
    _sort: list[tuple[str, int]] = field(default_factory=list)
    _limit: int = 0
    _skip: int = 0
    _rows: Iterator[Document] | None = None

    def sort(self, by: Any, direction: int = 1) -> Cursor:
        keys = [(by, direction)] if isinstance(by, str) else by
        self._sort = [(key, 1) if isinstance(key, str) else tuple(key) for key in keys]
        return self

    def limit(self, limit: int) -> Cursor:
        self._limit = limit
        return self

    def skip(self, skip: int) -> Cursor:
        self._skip = skip
        return self

    def batch_size(self, _: int) -> Cursor:
        return self

    def hint(self, _: Any) -> Cursor:
        return self

    def __iter__(self) -> Iterator[Document]:
        return self

    def __next__(self) -> Document:
        if self._rows is None:
            shape = Shape(self.projection, self._sort, self._skip, self._limit)
            store, name, query = self.collection._store, self.collection.name, self.query
            self._rows = iter(
                self.collection._call("find", self.session, lambda on: store.find(name, query, shape, on))
            )
        return next(self._rows)


def _kind(write: Any) -> str:
    if isinstance(write, InsertOne):
        return "insert"
    return "update" if isinstance(write, UpdateOne | UpdateMany) else "delete"


def _reply(name: str, answer: Any) -> Document:
    """As much of the server's reply as a listener of ours looks at."""
    if name == "insert":
        return {"n": 1, "writeErrors": answer} if answer else {"n": 1}
    if name in ("update", "findAndModify") and isinstance(answer, tuple):
        return {"n": answer[0] + (answer[2] is not None)}
    if isinstance(answer, dict) and "nMatched" in answer:
        return {"n": sum(answer.values())}
    return {"n": answer} if name == "delete" else {}


Moment = Callable[[], datetime]
