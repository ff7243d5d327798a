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
from datetime import datetime
from typing import Any

from bson import ObjectId, Timestamp
from pymongo.errors import DuplicateKeyError

from .grouping import staged
from .keys import rival_of
from .matching import candidates, equalities, matches
from .server_session import Document, Session, no_such_session, write_conflict
from .shape import Shape, in_order
from .updates import updated
from .values import copied, kept
from .write import Write, put

BETWEEN, BLOCKED = "between", "blocked"
Steps = Generator[str, None, Any]
Observer = Callable[[str, str, Document | None, Document | None], None]


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
        variables, documents = {"NOW": self.now()}, candidates(self.seen(name, session), query)
        return shape.of([one for one in documents if matches(one, query, variables)])

    def aggregate(self, name: str, stages: Sequence[Mapping[str, Any]], session: Session | None) -> Steps:
        """What a pipeline makes of the documents."""
        yield from ()
        rows: list[Document] = list(self.seen(name, session).values())
        for stage in stages:
            rows = staged(rows, stage, {"NOW": self.now()})
        return copied(rows)

    def seen(self, name: str, session: Session | None) -> dict[Any, Document]:
        """What a read sees: a session's snapshot with its own writes, or what a majority has."""
        if session:
            return session.docs[name] if name in session.docs else session.snapshot.get(name, {})
        if self.pending:
            self.settle_majority()
        return self.majority.get(name, {})

    def settle_majority(self, until: float | None = None) -> None:
        """Let a majority have what it has by now."""
        until = self._seconds() if until is None else until
        while self.pending and self.pending[0].at <= until:
            self.pending.popleft().reach(self.majority)

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
        while (other := rival_of(self, name, new, session)) is not None:
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
        matched = modified = 0
        before: Document | None = None
        after: Document | None = None
        for found in self._chosen(name, query, variables, sort, session):
            chosen = found["_id"]
            while session is None and (name, chosen) in self.locks:
                yield BLOCKED
            present = self.present(name, session).get(chosen)
            if present is None or (present is not found and not matches(present, query, variables)):
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
        after = updated(self._with_id(equalities(query)), update, variables, inserting=True)
        yield from self._insert_one(writer, name, after, session)
        return 0, 0, after["_id"], None, after

    def delete(
        self, writer: str, name: str, query: Mapping[str, Any], session: Session | None, *, many: bool = False
    ) -> Steps:
        """Delete one or many: how many were."""
        variables, deleted = {"NOW": self.now()}, 0
        for found in self._chosen(name, query, variables, (), session):
            chosen = found["_id"]
            while session is None and (name, chosen) in self.locks:
                yield BLOCKED
            present = self.present(name, session).get(chosen)
            if present is not None and (present is found or matches(present, query, variables)):
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
        variables: Mapping[str, Any],
        sort: Sequence[tuple[str, int]],
        session: Session | None,
    ) -> list[Document]:
        documents = candidates(self.present(name, session), query)
        return in_order([one for one in documents if matches(one, query, variables)], sort)

    def present(self, name: str, session: Session | None) -> dict[Any, Document]:
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
        put(session.docs[name], id, after)

    def _apply(self, writer: str, documents: Sequence[tuple[str, Any, Document | None]]) -> None:
        """Write, all at once: it is there, or after an election it is not."""
        befores = [self.latest.get(name, {}).get(id) for name, id, _ in documents]
        self.majority_at = max(self.majority_at, self._seconds() + self._lag())
        write = Write(self.majority_at, documents)
        write.reach(self.latest)
        self.pending.append(write)
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

    # What a client leaves to the server

    def _stamped(self, new: Document) -> Document:
        """As the server fills in what the client left to it."""
        for name, value in new.items():
            if type(value) is Timestamp and value.time == value.inc == 0:
                self._stamps += 1
                new[name] = Timestamp(int(self.now().timestamp()), self._stamps)
        return self._with_id(new)

    def _with_id(self, new: Document) -> Document:
        if "_id" in new:
            return new
        self._ids += 1
        return {"_id": ObjectId(self._ids.to_bytes(12, "big")), **new}
