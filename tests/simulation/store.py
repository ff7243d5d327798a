"""A document store that behaves as one replica set does, as far as the queue can tell.

- Each document is written on its own; a command that writes several can be overtaken between two of them.
- A write is seen by other writes at once, by reads once a majority has it; an election discards what no majority had.
- A session reads the snapshot of its first command. Writing what another open session has written, or what was written
  since the snapshot, is a write conflict and ends the session. A write outside waits for the session instead.
- Commands are generators, one step up to the next place where others may come between (`BETWEEN`) or where it waits
  for a session (`BLOCKED`): whoever runs them decides what happens there, and whether they ever go on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bson import ObjectId, Timestamp
from pymongo.errors import DuplicateKeyError, OperationFailure

from .grouping import staged
from .matching import compiled
from .updates import updated
from .values import MISSING, at, copied, kept, order, picked

Document = dict[str, Any]
BETWEEN, BLOCKED = "between", "blocked"
Steps = Generator[str, None, Any]
Observer = Callable[[str, str, Document | None, Document | None], None]


@dataclass(eq=False)
class Session:
    """A multi-document session on the server: its snapshot, what it wrote, and what became of it."""

    snapshot: dict[str, dict[Any, Document]]
    number: int
    opened_at: datetime
    docs: dict[str, dict[Any, Document]] = field(default_factory=dict)
    wrote: dict[tuple[str, Any], Document | None] = field(default_factory=dict)
    state: str = "open"


@dataclass(frozen=True, slots=True)
class Write:
    """What was written at once: documents as they became, or None where deleted. A majority has it from `at` on."""

    at: float
    documents: Sequence[tuple[str, Any, Document | None]]


class Store:
    """The documents of one database, and the sessions that are open on it.

    Args:
        now: the server's clock.
        seconds: a clock that never steps, for how long a majority takes.
        lag: how many seconds a majority needs for a write.
    """

    def __init__(
        self,
        now: Callable[[], datetime],
        seconds: Callable[[], float] = lambda: 0.0,
        lag: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.now, self._seconds, self._lag = now, seconds, lag
        self.latest: dict[str, dict[Any, Document]] = {}
        self.majority: dict[str, dict[Any, Document]] = {}
        self.pending: deque[Write] = deque()
        self.locks: dict[tuple[str, Any], Session] = {}
        self.sessions: dict[Any, Session] = {}
        self.unique: dict[str, list[tuple[str, ...]]] = {}
        self.observers: list[Observer] = []
        self.majority_at, self.term, self._stamps, self._ids = 0.0, 0, 0, 0

    # Reading

    def find(self, name: str, query: Mapping[str, Any], shape: Shape, session: Session | None) -> Steps:
        """The documents that match, shaped."""
        yield from ()
        matches = compiled(query, {"NOW": self.now()})
        found = [one for one in self._candidates(self.seen(name, session), query) if matches(one)]
        return shape.of(found)

    def aggregate(self, name: str, stages: Sequence[Mapping[str, Any]], session: Session | None) -> Steps:
        """What a pipeline makes of the documents."""
        yield from ()
        rows: list[Document] = [copied(one) for one in self.seen(name, session).values()]
        for stage in stages:
            rows = staged(rows, stage, {"NOW": self.now()})
        return rows

    def seen(self, name: str, session: Session | None) -> dict[Any, Document]:
        """What a read sees: a session's snapshot with its own writes, or what a majority has."""
        if session:
            return session.docs[name] if name in session.docs else session.snapshot.get(name, {})
        self.settle_majority()
        return self.majority.get(name, {})

    def settle_majority(self, until: float | None = None) -> None:
        """Let a majority have what it has by now."""
        until = self._seconds() if until is None else until
        while self.pending and self.pending[0].at <= until:
            for collection, id, after in self.pending.popleft().documents:
                _put(self.majority.setdefault(collection, {}), id, after)

    # Writing

    def insert(self, writer: str, name: str, documents: Sequence[Document], session: Session | None) -> Steps:
        """Insert each of the documents by itself: the errors, by place."""
        errors: list[tuple[int, DuplicateKeyError]] = []
        for place, given in enumerate(documents):
            new = self._stamped(kept(given))
            yield BETWEEN
            try:
                yield from self._insert_one(writer, name, new, session)
            except DuplicateKeyError as error:
                errors.append((place, error))
                if session:
                    break
        return errors

    def _insert_one(self, writer: str, name: str, new: Document, session: Session | None) -> Steps:
        while (other := self._rival(name, new, session)) is not None:
            if other == "taken":
                raise DuplicateKeyError(f"E11000 duplicate key error collection: {name}", 11000, {"code": 11000})
            if session:
                raise write_conflict()
            yield BLOCKED
        self._write(writer, name, new["_id"], None, new, session)

    def update(
        self,
        writer: str,
        name: str,
        query: Mapping[str, Any],
        update: Any,
        session: Session | None,
        *,
        upsert: bool = False,
        many: bool = False,
        sort: Sequence[tuple[str, int]] = (),
    ) -> Steps:
        """Update one or many, document by document: (matched, modified, upserted id, before, after)."""
        variables = {"NOW": self.now()}
        matches = compiled(query, variables)
        matched = modified = 0
        before: Document | None = None
        after: Document | None = None
        for chosen in self._chosen(name, query, matches, sort, session):
            while session is None and (name, chosen) in self.locks:
                yield BLOCKED
            present = self._present(name, session).get(chosen)
            if present is None or not matches(present):
                continue
            before, after = present, updated(present, update, variables, inserting=False)
            matched += 1
            modified += after != before
            if after != before:
                self._write(writer, name, chosen, before, after, session)
            if not many:
                break
            yield BETWEEN
        if matched or not upsert:
            return matched, modified, None, before, after
        after = updated(self._with_id(_equalities(query)), update, variables, inserting=True)
        yield from self._insert_one(writer, name, after, session)
        return 0, 0, after["_id"], None, after

    def delete(
        self, writer: str, name: str, query: Mapping[str, Any], session: Session | None, *, many: bool = False
    ) -> Steps:
        """Delete one or many: how many were."""
        matches = compiled(query, {"NOW": self.now()})
        deleted = 0
        for chosen in self._chosen(name, query, matches, (), session):
            while session is None and (name, chosen) in self.locks:
                yield BLOCKED
            present = self._present(name, session).get(chosen)
            if present is not None and matches(present):
                self._write(writer, name, chosen, present, None, session)
                deleted += 1
                if not many:
                    break
                yield BETWEEN
        return deleted

    def _chosen(
        self,
        name: str,
        query: Mapping[str, Any],
        matches: Callable[[Document], bool],
        sort: Sequence[tuple[str, int]],
        session: Session | None,
    ) -> list[Any]:
        found = [one for one in self._candidates(self._present(name, session), query) if matches(one)]
        return [one["_id"] for one in in_order(found, sort)]

    def _present(self, name: str, session: Session | None) -> dict[Any, Document]:
        """What a write sees: everything at once, but in a session its snapshot."""
        return self.seen(name, session) if session else self.latest.setdefault(name, {})

    def _refuse_conflict(self, name: str, id: Any, session: Session) -> None:
        """A session may write what it sees, and nobody else is writing."""
        if session.state != "open":
            raise no_such_session()
        changed = self.latest.get(name, {}).get(id) is not session.snapshot.get(name, {}).get(id)
        if changed or self.locks.get((name, id)) not in (None, session):
            raise write_conflict()

    def _write(
        self, writer: str, name: str, id: Any, before: Document | None, after: Document | None, session: Session | None
    ) -> None:
        if session is None:
            self._apply(writer, [(name, id, after)])
            return
        self._refuse_conflict(name, id, session)
        self.locks[name, id] = session
        session.wrote[name, id] = after
        if name not in session.docs:
            session.docs[name] = dict(session.snapshot.get(name, {}))
        _put(session.docs[name], id, after)

    def _apply(self, writer: str, documents: Sequence[tuple[str, Any, Document | None]]) -> None:
        """Write, all at once: it is there, or after an election it is not."""
        befores = [self.latest.setdefault(name, {}).get(id) for name, id, _ in documents]
        for name, id, after in documents:
            _put(self.latest[name], id, after)
        self.majority_at = max(self.majority_at, self._seconds() + self._lag())
        self.pending.append(Write(self.majority_at, documents))
        for observer in self.observers:
            for (name, _, after), before in zip(documents, befores, strict=True):
                observer(writer, name, before, after)

    # Sessions

    def new_session_id(self) -> str:
        """An id that no session has."""
        self._ids += 1
        return f"session-{self._ids}"

    def enter(self, id: Any, number: int, *, starting: bool) -> Session:
        """The session that a command belongs to; its first command opens it, and ends what was open in it before.

        Raises:
            OperationFailure: the server has ended it, or a later one was begun in its place.
        """
        present = self.sessions.get(id)
        if starting and (present is None or present.number < number):
            if present:
                self.abort(present)
            snapshot = {name: dict(documents) for name, documents in self.latest.items()}
            self.sessions[id] = present = Session(snapshot, number, self.now())
        if present is None or present.number != number or present.state != "open":
            raise no_such_session()
        return present

    def commit(self, writer: str, id: Any, number: int) -> Steps:
        """Make a session's writes real, all at once; a repeat finds it done."""
        yield from ()
        session = self.sessions.get(id)
        if session is None or session.number != number or session.state == "aborted":
            raise no_such_session()
        if session.state == "open":
            session.state = "committed"
            if session.wrote:
                self._apply(writer, [(name, wrote, after) for (name, wrote), after in session.wrote.items()])
            self._unlock(session)

    def abort(self, session: Session) -> None:
        """Discard a session, unless it is over."""
        if session.state == "open":
            session.state = "aborted"
            self._unlock(session)

    def kill_sessions(self, ids: Iterable[Mapping[str, Any]]) -> None:
        """Discard what is open in these sessions."""
        for one in ids:
            if session := self.sessions.get(one["id"]):
                self.abort(session)

    def _unlock(self, session: Session) -> None:
        for lock in session.wrote:
            if self.locks.get(lock) is session:
                del self.locks[lock]

    # Elections

    def elect(self, survivors: int) -> None:
        """A new primary: of what no majority had yet, it has the first `survivors` writes, and no open session."""
        self.term += 1
        for session in self.sessions.values():
            self.abort(session)
        survived = list(self.pending)[:survivors]
        self.pending = deque(Write(0.0, one.documents) for one in survived)
        self.settle_majority(0.0)
        self.latest = {name: dict(documents) for name, documents in self.majority.items()}

    # Keys

    def _rival(self, name: str, new: Document, session: Session | None) -> str | None:
        """Who has the id or a unique key of a new document: `taken`, `open` in another session, or nobody."""
        if self.locks.get((name, new["_id"])) not in (None, session):
            return "open"
        if new["_id"] in self._present(name, session):
            return "taken"
        for key in (("_id",), *self.unique.get(name, ())):
            wanted = _key_of(new, key)
            if wanted is not None and (rival := self._rival_of_key(name, key, wanted, session)):
                return rival
        return None

    def _rival_of_key(self, name: str, key: tuple[str, ...], wanted: Any, session: Session | None) -> str | None:
        present = self._present(name, session)
        if key != ("_id",) and any(_key_of(one, key) == wanted for one in present.values()):
            return "taken"
        unseen = [one for id, one in self.latest.get(name, {}).items() if id not in present] if session else []
        writing = [after for (collection, _), after in self._open_writes(session) if collection == name and after]
        return "open" if any(_key_of(one, key) == wanted for one in (*unseen, *writing)) else None

    def _open_writes(self, session: Session | None) -> Iterable[tuple[tuple[str, Any], Document | None]]:
        for other in self.sessions.values():
            if other is not session and other.state == "open":
                yield from other.wrote.items()

    def _candidates(self, documents: dict[Any, Document], query: Mapping[str, Any]) -> Iterable[Document]:
        wanted = query.get("_id")
        if isinstance(wanted, str):
            return [documents[wanted]] if wanted in documents else []
        if type(wanted) is dict and "$in" in wanted and len(wanted) == 1:
            return [documents[one] for one in sorted(set(wanted["$in"])) if one in documents]
        return list(documents.values())

    def _stamped(self, new: Document) -> Document:
        """As the server fills in what the client left to it."""
        for name, value in new.items():
            if value == Timestamp(0, 0):
                self._stamps += 1
                new[name] = Timestamp(int(self.now().timestamp()), self._stamps)
        return self._with_id(new)

    def _with_id(self, new: Document) -> Document:
        if "_id" in new:
            return new
        self._ids += 1
        return {"_id": ObjectId(self._ids.to_bytes(12, "big")), **new}


@dataclass(frozen=True)
class Shape:
    """Which of the found documents are wanted, and which of their fields."""

    projection: Mapping[str, Any] | None = None
    sort: Sequence[tuple[str, int]] = ()
    skip: int = 0
    limit: int = 0

    def of(self, found: list[Document]) -> list[Document]:
        """The documents wanted, as copies."""
        rows = in_order(found, self.sort)[self.skip :]
        rows = rows[: self.limit] if self.limit else rows
        return [projected(row, self.projection) for row in rows]


def in_order(documents: list[Document], sort: Sequence[tuple[str, int]]) -> list[Document]:
    """Sorted by the last key first, as stable sorts want it."""
    for name, direction in reversed(sort):
        path = tuple(name.split("."))
        documents = sorted(documents, key=lambda one: order(at(one, path)), reverse=direction < 0)
    return documents


def projected(document: Document, projection: Mapping[str, Any] | None) -> Document:
    """A copy with the fields that a projection keeps."""
    if not projection:
        return copied(document)
    if all(value == 0 for value in projection.values()):
        return {name: copied(value) for name, value in document.items() if name not in projection}
    row: Document = {}
    for name, wanted in {"_id": 1, **projection}.items():
        first, *rest = name.split(".")
        value = picked(document.get(first, MISSING), rest)
        if wanted == 0 or value is MISSING:
            continue
        if isinstance(wanted, Mapping):
            value = value[wanted["$slice"] :] if wanted["$slice"] < 0 else value[: wanted["$slice"]]
        row[first] = {**row[first], **copied(value)} if type(row.get(first)) is dict else copied(value)
    return row


def write_conflict() -> OperationFailure:
    """The error of a session that met another one's write."""
    labels = {"code": 112, "codeName": "WriteConflict", "errorLabels": ["TransientTransactionError"]}
    return OperationFailure("WriteConflict error: this operation conflicted with another operation", 112, labels)


def no_such_session() -> OperationFailure:
    """The error of a command in a session that the server has ended."""
    labels = {"code": 251, "codeName": "NoSuchTransaction", "errorLabels": ["TransientTransactionError"]}
    return OperationFailure("Transaction has been aborted", 251, labels)


def _put(documents: dict[Any, Document], id: Any, after: Document | None) -> None:
    if after is None:
        documents.pop(id, None)
    else:
        documents[id] = after


def _key_of(document: Document, key: tuple[str, ...]) -> tuple[Any, ...] | None:
    """The values of a unique key; none when the document is not in its index."""
    values = tuple(at(document, tuple(name.split("."))) for name in key)
    return None if any(value is MISSING for value in values) else values


def _equalities(query: Mapping[str, Any]) -> Document:
    """What an upsert takes over from its query."""
    return {name: value for name, value in query.items() if not name.startswith("$") and not _is_test(value)}


def _is_test(value: Any) -> bool:
    return isinstance(value, Mapping) and any(name.startswith("$") for name in value)
