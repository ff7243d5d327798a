"""Measures kept in MongoDB, so that they are one for all processes and hosts, and outlive each.

Each process adds what it counted to a few documents every few seconds: `Minutes` has a document per minute, and one per
hour, of each type and of all, for as long as the admin wants them; `Totals` has what only ever grows. A lost process
loses its last few seconds.

How much waits is counted once for all who ask, by the index of what is due alone, and the more rarely the longer it
takes (`Depths`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import ASCENDING, IndexModel, UpdateOne
from pymongo.errors import DuplicateKeyError, ServerSelectionTimeoutError

from ..admin.measures import ALL, Depth, Depths, Figures, Measures, Point, Tally, added, steps
from ..transaction import State
from .connection import Connection, answering
from .documents import Document
from .indexes import INDEX_OF

MINUTE, HOUR = 60, 3600
KEEP_DAYS = 14.0
HOURS_KEPT_LONGER = 10  # times as long as minutes
FRESH_SECONDS, COSTS = 3.0, 20  # between two counts: at least so long, and so many times as long as one takes
TURN_SECONDS = 60  # whoever counts may take so long before another one tries
STALE_SECONDS = 20.0  # nobody keeps it fresh

_DRAWN = {"n.held": 0, "expires_at": 0}  # how long leases were is for /metrics alone

SERIES_INDEX = [("span", ASCENDING), ("type", ASCENDING), ("at", ASCENDING)]


class MongoMeasures(Measures):
    """The measures of this database, and this process's part in them."""

    def __init__(self, connection: Connection) -> None:
        self.tally = Tally()
        self.keep_days = KEEP_DAYS
        self._q, self._clock = connection.q, connection.clock
        self._minutes = connection.database["Minutes"]
        self._totals = connection.database["Totals"]
        self._depths = connection.database["Depths"]

    def prepare(self) -> None:
        """Make the indexes where they are missing.

        Raises:
            QueueUnavailable: the database did not answer.
        """
        old = IndexModel([("expires_at", ASCENDING)], name="old", expireAfterSeconds=0)
        with answering("make the indexes of measures"):
            self._minutes.create_indexes([IndexModel(SERIES_INDEX, name="series"), old])

    def flush(self) -> None:
        """Write what this process has counted; without an answer nobody knows, and it is not written again.

        Raises:
            QueueUnavailable: the database did not answer.
        """
        taken = self.tally.take()
        if not taken:
            return
        with answering("write measures"):
            try:
                self._write({**taken, ALL: added(taken.values())})
            except ServerSelectionTimeoutError:
                self.tally.put_back(taken)
                raise

    def _write(self, figures: Mapping[str, Figures]) -> None:
        now = self._clock.now()
        spans = [update for type, one in figures.items() for update in self._spans(type, one, now)]
        self._minutes.bulk_write(spans, ordered=False)
        totals = [UpdateOne({"_id": type}, {"$inc": _named(one)}, upsert=True) for type, one in figures.items()]
        self._totals.bulk_write(totals, ordered=False)

    def _spans(self, type: str, figures: Figures, now: datetime) -> Iterator[UpdateOne]:
        for span, longer in ((MINUTE, 1), (HOUR, HOURS_KEPT_LONGER)):
            at = datetime.fromtimestamp(now.timestamp() // span * span, UTC)
            born = {"span": span, "type": type, "at": at, "expires_at": at + timedelta(days=self.keep_days * longer)}
            update = {"$inc": _named(figures), "$setOnInsert": born}
            yield UpdateOne({"_id": f"{span}/{type}/{at:%Y-%m-%dT%H:%M}"}, update, upsert=True)

    def totals(self) -> Mapping[str, Figures]:
        """As `Measures.totals` promises.

        Raises:
            QueueUnavailable: the database did not answer.
        """
        with answering("read measures"):
            return {row["_id"]: _figures(row) for row in self._totals.find()}

    def series(self, type: str | None, since: datetime, until: datetime, step_seconds: int) -> Sequence[Point]:
        """As `Measures.series` promises.

        Raises:
            QueueUnavailable: the database did not answer.
        """
        span = HOUR if step_seconds % HOUR == 0 else MINUTE
        query = {"span": span, "type": ALL if type is None else type, "at": {"$gte": since, "$lt": until}}
        with answering("read measures"):
            rows = list(self._minutes.find(query, _DRAWN, hint="series"))
        return steps(((row["at"], _figures(row)) for row in rows), since, step_seconds)

    def by_type(self, since: datetime, until: datetime, step_seconds: int) -> Mapping[str, Sequence[Point]]:
        """As `series`, of every type that has figures and of `ALL`, from one look by minutes.

        Raises:
            QueueUnavailable: the database did not answer.
        """
        found: dict[str, list[tuple[datetime, Figures]]] = {}
        with answering("read measures"):
            names = self._minutes.distinct("type", {"span": MINUTE})
            query = {"span": MINUTE, "type": {"$in": names}, "at": {"$gte": since, "$lt": until}}
            for row in self._minutes.find(query, _DRAWN, hint="series"):
                found.setdefault(row["type"], []).append((row["at"], _figures(row)))
        return {type: steps(rows, since, step_seconds) for type, rows in found.items()}

    def depths(self) -> Depths:
        """As `Measures.depths` promises: what was counted last. If nobody has for long, one of those who ask counts.

        Raises:
            QueueUnavailable: the database did not answer.
        """
        with answering("read how much waits"):
            found = self._depths.find_one({"_id": "depths", "at": {"$exists": True}})
            if found is None or (self._is_stale(found) and self._takes_turn()):
                return self._count()
        return _depths(found)

    def counted(self) -> Depths:
        """How much waits, counted now, for somebody who asks once.

        Raises:
            QueueUnavailable: the database did not answer.
        """
        with answering("count how much waits"):
            return self._count()

    def refresh_depths(self) -> None:
        """Count how much waits, if it is time and nobody else does.

        Raises:
            QueueUnavailable: the database did not answer.
        """
        with answering("count how much waits"):
            if self._takes_turn():
                self._count()

    def _is_stale(self, found: Mapping[str, Any]) -> bool:
        age = (self._clock.now() - found["at"]).total_seconds()
        return bool(age > STALE_SECONDS + found["pause"])

    def _takes_turn(self) -> bool:
        """Whether it is time to count, and nobody else does."""
        now = self._clock.now()
        mine = {"_id": "depths", "next_at": {"$lte": now}}
        try:
            turn = {"$set": {"next_at": now + timedelta(seconds=TURN_SECONDS)}}
            took = self._depths.update_one(mine, turn, upsert=True)
        except DuplicateKeyError:
            return False
        return bool(took.matched_count or took.upserted_id)

    def _count(self) -> Depths:
        now, began = self._clock.now(), time.monotonic()
        rows = [
            row
            for state in (State.QUEUED, State.RUNNING, State.DEAD)
            for row in self._q.aggregate(_counting(state, now), hint=INDEX_OF[state])
        ]
        pause = max(FRESH_SECONDS, COSTS * (time.monotonic() - began))
        counted = {"at": now, "rows": rows, "pause": pause, "next_at": now + timedelta(seconds=pause)}
        self._depths.update_one({"_id": "depths"}, {"$set": counted}, upsert=True)
        return _depths(counted)


def _counting(state: State, now: datetime) -> list[Document]:
    """Reads the index of this state, and no document."""
    grouped: Document = {"count": {"$sum": 1}}
    if state is State.QUEUED:
        due = {"$cond": [{"$lte": ["$due_at", now]}, 1, 0]}
        grouped |= {"due": {"$sum": due}, "oldest": {"$min": "$due_at"}}
    return [
        {"$match": {"state": str(state)}},
        {"$group": {"_id": {"type": "$type", "state": "$state"}, **grouped}},
    ]


def _depths(counted: Mapping[str, Any]) -> Depths:
    found: dict[str, dict[str, Any]] = {}
    for row in counted["rows"]:
        fields = found.setdefault(row["_id"]["type"], {})
        fields[row["_id"]["state"]] = row["count"]
        if row["_id"]["state"] == State.QUEUED:
            fields |= {"due": row["due"], "oldest_due_at": row["oldest"] if row["due"] else None}
    return Depths(counted["at"], {type: Depth(**fields) for type, fields in sorted(found.items())})


def _named(figures: Figures) -> Document:
    return {f"n.{name}": count for name, count in figures.items()}


def _figures(row: Mapping[str, Any]) -> Figures:
    """The flat figures of a document: what has a dot in its name lies one level deeper there."""
    flat: dict[str, float] = {}
    for name, value in row.get("n", {}).items():
        if isinstance(value, dict):
            for part, count in value.items():
                flat[f"{name}.{part}"] = count
        else:
            flat[name] = value
    return flat
