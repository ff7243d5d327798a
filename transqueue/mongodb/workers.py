"""Workers and their leases: one document per start of a worker process, and what becomes of it when that ends.

A lease's times are written and judged by the server's `$$NOW` inside the write, and renewing never touches Q. Ending
one is final. The order of a rescue is what makes it safe: first end the worker's document, then kill its sessions (an
open one would hold its writes back), then put its transactions back; each step may be repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

from pymongo import DESCENDING, UpdateMany, UpdateOne

from ..admin.cause import cause_of
from ..admin.report import EndedWorker, WorkerReport
from ..backoff import backoff_seconds
from ..order import leaves_key
from ..queue import Casualty, LiveWorker, Rescue, WorkerRecord
from ..transaction import HISTORY_KEPT, MAX_CRASHES, State
from .connection import Connection, answering
from .documents import READABLE, Document, known
from .endings import end_with_more

CRASH_BACKOFF_SECONDS = (2.0, 300.0)
OTHERS_LEFT_SECONDS = 5.0  # a worker's own supervisor knows best what it was doing, and gets this long to tell
ENDED_SHOWN = 200
_LIVE: Mapping[str, Any] = {"ended_at": None}
_NOT_LAPSED = {"$expr": {"$gte": ["$until", "$$NOW"]}}
_LAPSED = {"$expr": {"$lt": ["$until", "$$NOW"]}}
_HELD = dict.fromkeys(
    ("_id", "type", "lease", "attempts", "crashes", "max_attempts", "alone", "after_dead", "on_end.type"), 1
)


class Workers:
    """Begins, renews and ends the leases of workers, and puts back what an ended one held."""

    def __init__(self, connection: Connection, on_lapse: Callable[[int], None] = lambda _: None) -> None:
        self._connection, self._random, self._on_lapse = connection, connection.random, on_lapse
        self._q, self._workers, self._clock = connection.q, connection.workers, connection.clock

    def begin(self, worker: WorkerRecord, *, lease_seconds: float) -> None:
        """As `TransactionQueue.begin` promises."""
        born: Document = {
            "host": worker.host,
            "pid": worker.pid,
            "slot": worker.slot,
            "sessions": list(worker.sessions),
            "types": None if worker.types is None else list(worker.types),
            "broken": [[name, reason] for name, reason in worker.broken.items()],
            "ended_at": None,
        }
        stamped = [{"$set": {**_literal(born), "started_at": "$$NOW", "until": _from_now(lease_seconds)}}]
        with answering("begin a worker's lease"):
            self._workers.update_one({"_id": worker.id, "started_at": None}, stamped, upsert=True)

    def renew(self, workers: Collection[str], *, lease_seconds: float) -> frozenset[str]:
        """As `TransactionQueue.renew` promises."""
        ids = list(workers)
        with answering("renew leases"):
            renewing = [{"$set": {"until": _from_now(lease_seconds)}}]
            renewed = self._workers.update_many({"_id": {"$in": ids}, **_LIVE, **_NOT_LAPSED}, renewing)
            if renewed.matched_count == len(ids):
                return frozenset(ids)
            held = self._workers.find({"_id": {"$in": ids}, **_LIVE, **_NOT_LAPSED}, {"_id": 1})
            return frozenset(row["_id"] for row in held)

    def live(self) -> Sequence[LiveWorker]:
        """As `TransactionQueue.workers` promises."""
        with answering("list workers"):
            rows = self._workers.find({**_LIVE, **_NOT_LAPSED}).sort(["host", "slot"])
            return [_live(row) for row in rows]

    def report(self, reports: Mapping[str, WorkerReport]) -> None:
        """As `TransactionQueue.report` promises."""
        writes = [UpdateOne({"_id": worker, **_LIVE}, _reported(report)) for worker, report in reports.items()]
        if writes:
            with answering("report on workers"):
                self._workers.bulk_write(writes, ordered=False)

    def ended(self) -> Sequence[EndedWorker]:
        """The workers that ended in the last day, the latest first."""
        with answering("list ended workers"):
            rows = self._workers.find({"ended_at": {"$ne": None}}).sort("ended_at", DESCENDING).limit(ENDED_SHOWN)
            return [_ended(row) for row in rows]

    def end(self, worker: str, casualty: Casualty) -> Rescue:
        """As `TransactionQueue.end` promises."""
        with answering("end a worker"):
            self._end([worker], {}, casualty.ending)
            return self._put_back(worker, casualty)

    def rescue(self) -> Sequence[Rescue]:
        """As `TransactionQueue.rescue` promises."""
        with answering("rescue"):
            lapsed = {row["_id"] for row in self._workers.find({**_LIVE, **_LAPSED}, {"_id": 1})}
            self._on_lapse(self._end(lapsed, _LAPSED, "its lease lapsed"))
            holders = self._holders()
            left = holders - self._excused() if holders else holders
            self._kill_sessions(left)
            unknown = Casualty(group=True, reason="its worker's lease lapsed")
            return [self._put_back(worker, unknown) for worker in sorted(left)]

    def _end(self, workers: Iterable[str], condition: Mapping[str, Any], ending: str) -> int:
        """End those that are alive; how many that were."""
        ids = list(workers)
        if not ids:
            return 0
        alive = {"_id": {"$in": ids}, **_LIVE, **condition}
        ended = {"ended_at": "$$NOW", "ending": {"$literal": ending}}
        count = self._workers.update_many(alive, [{"$set": ended}]).modified_count
        self._kill_sessions(ids)
        return count

    def _kill_sessions(self, workers: Iterable[str]) -> None:
        ids = list(workers)
        ended = {"_id": {"$in": ids}, "ended_at": {"$ne": None}}
        rows = self._workers.find(ended, {"sessions": 1}) if ids else ()
        sessions = [session for row in rows for session in row.get("sessions", ())]
        if sessions:
            self._connection.client.admin.command("killSessions", sessions)

    def _holders(self) -> set[str]:
        running: list[Document] = [{"$match": {"state": State.RUNNING}}, {"$group": {"_id": "$lease.worker"}}]
        return {row["_id"] for row in self._q.aggregate(running, hint="held")}

    def _excused(self) -> set[str]:
        """Workers whose transactions are not ours to touch: alive, or ended a moment ago by their own supervisor."""
        moment_ago = {"$subtract": ["$$NOW", int(OTHERS_LEFT_SECONDS * 1000)]}
        fresh = {"$and": [{"$gt": ["$ended_at", moment_ago]}, {"$gte": ["$until", "$ended_at"]}]}
        return {row["_id"] for row in self._workers.find({"$or": [_LIVE, {"$expr": fresh}]}, {"_id": 1})}

    def _put_back(self, worker: str, casualty: Casualty) -> Rescue:
        rows = list(self._q.find({"state": State.RUNNING, "lease.worker": worker, "v": READABLE}, _HELD))
        charged = [row for row in rows if row["_id"] == casualty.running or (casualty.group and row.get("alone"))]
        others = [row["_id"] for row in rows if row not in charged]
        ending = [row for row in charged if _is_spent(row) and "on_end" in row]
        for row in ending:
            end_with_more(self._connection, *self._charge(row, casualty.reason))
        writes: list[Any] = [UpdateOne(*self._charge(row, casualty.reason)) for row in charged if row not in ending]
        if others:
            writes.append(_release(worker, others, alone=casualty.group))
        if writes:
            self._q.bulk_write(writes, ordered=False)
        buried = {row["_id"] for row in charged if _is_spent(row)}
        return Rescue(
            worker=worker,
            released=tuple(others),
            charged=tuple(row["_id"] for row in charged if row["_id"] not in buried),
            buried=tuple(sorted(buried)),
        )

    def _charge(self, row: Document, reason: str) -> tuple[Document, Document]:
        """What a charged one must still be, and the update that charges it."""
        now, state = self._clock.now(), State.DEAD if _is_spent(row) else State.QUEUED
        error = {"type": "WorkerDied", "message": reason}
        entry = {
            "at": now,
            "state": str(state),
            "attempt": row["attempts"] + 1,
            "worker": row["lease"]["worker"],
            "error": error,
        } | ({"leased_at": row["lease"]["at"]} if row["lease"].get("at") else {})
        buried = {"finished_at": now, "cause": cause_of(row["type"], error)}
        ending = buried if state is State.DEAD else self._later(row, now)
        return (
            {"_id": row["_id"], "state": State.RUNNING, "lease.token": row["lease"]["token"]},
            {
                "$set": {"state": str(state), "error": error, **ending},
                "$unset": {"lease": 1} | ({"ordered": 1} if leaves_key(state, row.get("after_dead", "block")) else {}),
                "$inc": {"attempts": 1, "crashes": 1},
                "$push": {"history": {"$each": [entry], "$slice": -HISTORY_KEPT}},
            },
        )

    def _later(self, row: Document, now: datetime) -> Document:
        wait = backoff_seconds(row["crashes"] + 1, *CRASH_BACKOFF_SECONDS, self._random)
        return {"due_at": now + timedelta(seconds=wait)}


def _release(worker: str, ids: list[str], *, alone: bool) -> UpdateMany:
    changes: Document = {"state": str(State.QUEUED)} | ({"alone": True} if alone else {})
    held = {"_id": {"$in": ids}, "state": State.RUNNING, "lease.worker": worker}
    return UpdateMany(held, {"$set": changes, "$unset": {"lease": 1}})


def _is_spent(row: Document) -> bool:
    return bool(row["crashes"] + 1 >= MAX_CRASHES or row["attempts"] + 1 >= row["max_attempts"])


def _live(row: Document) -> LiveWorker:
    report = row.get("report")
    return LiveWorker(
        id=row["_id"],
        host=row["host"],
        pid=row["pid"],
        slot=row["slot"],
        started_at=row["started_at"],
        until=row["until"],
        report=WorkerReport(**known(WorkerReport, report)) if report else None,
        types=row.get("types"),
        broken=dict(row.get("broken", ())),
    )


def _ended(row: Document) -> EndedWorker:
    return EndedWorker(
        id=row["_id"],
        host=row["host"],
        pid=row["pid"],
        slot=row["slot"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        ending=row.get("ending", ""),
    )


def _reported(report: WorkerReport) -> list[Document]:
    facts = {one.name: getattr(report, one.name) for one in fields(report) if one.name != "at"}
    return [{"$set": {"report": {**_literal(facts), "at": "$$NOW"}}}]


def _from_now(seconds: float) -> Document:
    return {"$add": ["$$NOW", int(seconds * 1000)]}


def _literal(fields: Mapping[str, Any]) -> Document:
    return {name: {"$literal": value} for name, value in fields.items()}
