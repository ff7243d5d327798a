"""What MongoDB itself can do with our documents and our indexes: pipelines in plain PyMongo, tuned by hand.

Two processes, as our workers are. They have lanes of their own, so nothing is fought for; each lane is read from where
the last read ended, so no removed key is met again; leases are not journaled (a lost one would be done again), what
ends is. There is no queue logic: nothing is rescued, retried, fenced against, ordered or validated.
"""

from __future__ import annotations

import multiprocessing
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from multiprocessing.connection import Connection as Link
from typing import Any

from bson import Decimal128
from pymongo import MongoClient, UpdateOne, WriteConcern
from pymongo.client_session import ClientSession

from transqueue.transaction import FREE_LANES, KEYED_LANES

from .backlog import AT_ONCE, Template, fill
from .machine import cpu_seconds
from .measure import Sample
from .stage import Stage

Document = dict[str, Any]

PROCESSES = 2
LEASED = 500
IN_SESSION = 100
DURABLE = WriteConcern("majority", j=True)
LIGHT = WriteConcern(w=1, j=False)

_spawn = multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one process of a pipeline does; with `ledger`, the deposits are credited in sessions."""

    uri: str
    database: str
    type: str
    lanes: Sequence[int]
    ledger: bool = False
    seconds: float = 0  # how long it goes on; 0: until nothing is left
    written: bool = True  # whether each lease is written on its document; without, lanes alone keep the two apart


def enqueue(stage: Stage, template: Template, count: int, at_once: int = AT_ONCE) -> Sample:
    """Insert by `insert_many`, each of them durable; one process."""
    with stage.site() as site:
        stage.prepare(site)
        q = site.q.with_options(write_concern=DURABLE)
        cpu, began = cpu_seconds([stage.mongod_pid]), time.perf_counter()
        for _ in range(count // at_once):
            q.insert_many(list(template.many(at_once)), ordered=False)
        seconds = time.perf_counter() - began
        return Sample(count / seconds, {"mongod µs": (cpu_seconds([stage.mongod_pid]) - cpu) / count * 1e6})


def drain(
    stage: Stage,
    template: Template,
    count: int,
    *,
    users: int = 1,
    ledger: bool = False,
    written: bool = True,
    processes: int = PROCESSES,
) -> Sample:
    """Lease and settle a backlog, by so many processes."""
    with stage.site() as site:
        stage.prepare(site)
        fill(site.q, template, count, users)
        lanes = [[lane for lane in (*FREE_LANES, *KEYED_LANES) if lane % processes == n] for n in range(processes)]
        works = [
            Work(uri=stage.uri, database=site.name, type=template.type, lanes=mine, ledger=ledger, written=written)
            for mine in lanes
        ]
        return _run(stage, works, count)


def settle(stage: Stage, template: Template, count: int, *, users: int = 1, in_session: bool = False) -> Sample:
    """Settle a backlog, 100 in one update, each update in a session of its own or outside; one process."""
    with stage.site() as site:
        stage.prepare(site)
        fill(site.q, template, count, users)
        work = Work(uri=stage.uri, database=site.name, type=template.type, lanes=(), written=False)
        with MongoClient[Document](stage.uri) as client:
            pipeline = _Pipeline(client, work)
            rows = list(site.q.find({}, {"_id": 1}))
            cpu, began = cpu_seconds([stage.mongod_pid]), time.perf_counter()
            for at in range(0, len(rows), IN_SESSION):
                pipeline.settle(rows[at : at + IN_SESSION], in_session=in_session)
            seconds = time.perf_counter() - began
        return Sample(count / seconds, {"mongod µs": (cpu_seconds([stage.mongod_pid]) - cpu) / count * 1e6})


def end_to_end(stage: Stage, template: Template, seconds: float) -> Sample:
    """Insert 500 at a time while two processes lease and settle, for some seconds; what is done counts."""
    with stage.site() as site:
        stage.prepare(site)
        lanes = [[lane for lane in FREE_LANES if lane % PROCESSES == n] for n in range(PROCESSES)]
        works = [
            Work(uri=stage.uri, database=site.name, type=template.type, lanes=mine, seconds=seconds) for mine in lanes
        ]
        started = [_started(work) for work in works]
        q = site.q.with_options(write_concern=DURABLE)
        for _, link in started:
            link.send("go")
        began = time.perf_counter()
        while time.perf_counter() < began + seconds:
            q.insert_many(list(template.many(LEASED)), ordered=False)
        done = sum(link.recv() for _, link in started)
        _end(started)
        return Sample(done / seconds)


def _run(stage: Stage, works: Sequence[Work], count: int) -> Sample:
    links = [_started(work) for work in works]
    pids = [process.pid for process, _ in links]
    cpu, mongod, began = cpu_seconds(pids), cpu_seconds([stage.mongod_pid]), time.perf_counter()
    for _, link in links:
        link.send("go")
    done = sum(link.recv() for _, link in links)
    seconds = time.perf_counter() - began
    facts = {
        "mongod µs": (cpu_seconds([stage.mongod_pid]) - mongod) / count * 1e6,
        "client µs": (cpu_seconds(pids) - cpu) / count * 1e6,
    }
    _end(links)
    assert done == count, f"{done} of {count}"
    return Sample(count / seconds, facts)


def _started(work: Work) -> tuple[Any, Link]:
    ours, theirs = _spawn.Pipe()
    process = _spawn.Process(target=_process, args=(work, theirs), daemon=True)
    process.start()
    assert ours.recv() == "ready"
    return process, ours


def _end(started: Sequence[tuple[Any, Link]]) -> None:
    for process, link in started:
        link.send("end")
        process.join()


def _process(work: Work, link: Link) -> None:
    with MongoClient(work.uri) as client, suppress(EOFError):
        pipeline = _Pipeline(client, work)
        client.admin.command("ping")
        link.send("ready")
        link.recv()
        link.send(sum(map(pipeline.work_off, pipeline.leases())))
        link.recv()


class _Pipeline:
    """One process's pipeline."""

    def __init__(self, client: MongoClient[Document], work: Work) -> None:
        self._client, self._work = client, work
        self._database = client[work.database]
        self._q = self._database["Q"].with_options(write_concern=DURABLE)
        self._light = self._database["Q"].with_options(write_concern=LIGHT)
        self._in_session = self._database.with_options(write_concern=WriteConcern())

    def leases(self) -> Iterator[tuple[str, list[Document]]]:
        """What is leased together, and its token: lane by lane, until nothing is left or the time is over."""
        since = dict.fromkeys(self._work.lanes, datetime(2020, 1, 1, tzinfo=UTC))
        until = time.perf_counter() + self._work.seconds
        while True:
            for lane in self._work.lanes:
                while rows := self._candidates(lane, since[lane]):
                    since[lane] = rows[-1]["due_at"]
                    yield self._taken(rows) if self._work.written else ("", rows)
                    if self._work.seconds and time.perf_counter() > until:
                        return
            if time.perf_counter() > until:
                return

    def _candidates(self, lane: int, since: datetime) -> list[Document]:
        due = {"$gte": since, "$lte": datetime.now(UTC)}
        query = {"state": "queued", "type": self._work.type, "lane": lane, "priority": 0, "due_at": due}
        columns = {"_id": 1, "due_at": 1} if self._work.written else None
        return list(self._q.find(query, columns, hint="due").sort([("due_at", 1), ("_id", 1)]).limit(LEASED))

    def _taken(self, rows: Sequence[Document]) -> tuple[str, list[Document]]:
        token, ids = uuid.uuid4().hex, [row["_id"] for row in rows]
        lease = {"token": token, "worker": "w"}
        self._light.update_many(
            {"_id": {"$in": ids}, "state": "queued"}, {"$set": {"state": "running", "lease": lease}}
        )
        return token, list(self._q.find({"_id": {"$in": ids}, "lease.token": token}))

    def work_off(self, leased: tuple[str, list[Document]]) -> int:
        token, documents = leased
        if not self._work.ledger:
            return self._settle(self._q, token, documents, None)
        return sum(self._credit(token, documents[at : at + IN_SESSION]) for at in range(0, len(documents), IN_SESSION))

    def settle(self, documents: list[Document], *, in_session: bool) -> int:
        """Settle what nobody has leased."""
        if not in_session:
            return self._settle(self._q, "", documents, None)
        with self._client.start_session(causal_consistency=False) as session:
            return session.with_transaction(
                lambda session: self._settle(self._in_session["Q"], "", documents, session), write_concern=DURABLE
            )

    def _credit(self, token: str, documents: list[Document]) -> int:
        """Bank, Ledger and Q in one session."""
        with self._client.start_session(causal_consistency=False) as session:
            return session.with_transaction(
                lambda session: self._credit_in(session, token, documents), write_concern=DURABLE
            )

    def _credit_in(self, session: ClientSession, token: str, documents: list[Document]) -> int:
        totals: dict[str, Decimal] = defaultdict(Decimal)
        entries = []
        for document in documents:
            username, value = document["data"]["username"], Decimal(str(document["data"]["value"]))
            totals[username] += value
            entry = {"_id": f"{document['_id']}:0", "username": username, "value": Decimal128(value)}
            entries.append(entry | {"at": datetime.now(UTC)})
        credits = [
            UpdateOne({"_id": name}, {"$inc": {"value": Decimal128(total)}}, upsert=True)
            for name, total in totals.items()
        ]
        self._in_session["Bank"].bulk_write(credits, ordered=False, session=session)
        self._in_session["Ledger"].insert_many(entries, ordered=False, session=session)
        return self._settle(self._in_session["Q"], token, documents, session)

    def _settle(self, q: Any, token: str, documents: list[Document], session: ClientSession | None) -> int:
        """Leave the documents as ours are left."""
        now = datetime.now(UTC)
        held = {"state": "running", "lease.token": token} if self._work.written else {"state": "queued"}
        entry = {"at": now, "state": "done", "attempt": 1, "worker": "w"}
        update = {
            "$set": {"state": "done", "finished_at": now, "ended_by": token},
            "$unset": {"lease": 1, "ordered": 1},
            "$inc": {"attempts": 1},
            "$push": {"history": entry},
        }
        ids = [document["_id"] for document in documents]
        return int(q.update_many({"_id": {"$in": ids}, **held}, update, session=session).matched_count)
