"""Which due transactions to lease next: chosen from the index of what is due alone.

The keys of what was leased stay in the head of that index for minutes, and whoever reads it from its start steps over
them all. So a process remembers for each type and lane up to when it has leased all that was due, and reads on from
there. What is due since earlier (put back, or stored late) is looked for now and then, and when nothing else is found.

A process that finds a long backlog reads one lane at a time, for merging the order of many lanes costs mongod as much
as all the rest of the reading; otherwise it reads its lanes together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pymongo import ASCENDING, DESCENDING

from ..order import Due
from ..transaction import FREE_LANES, KEYED_LANES, State
from .connection import Connection
from .documents import READABLE, Document, in_utc

DUE_ORDER = [("priority", DESCENDING), ("due_at", ASCENDING), ("_id", ASCENDING)]
AGE_ORDER = DUE_ORDER[1:]
PRIORITIES = list(range(-10, 11))
MERGED = 200 // len(PRIORITIES)  # lanes whose priorities mongod merges; with more it would sort in memory
LONG = 100  # so many at once are leased of fast handlers only
LATE = timedelta(seconds=0.25)  # how long after it was due a transaction may become visible
FROM_START_SECONDS = 1.0
SHARE = 20  # reads from the start take at most a twentieth of the time
LONG_WALK_SECONDS = 0.2  # one that takes longer is not repeated at once, even when nothing is found
PRIORITY_SECONDS = 1.0  # asking steps over what was removed
NEWER_SECONDS = 10.0
_ROW = {"_id": 1, "due_at": 1, "alone": 1}


@dataclass(slots=True)
class _Type:
    """What this process knows of the queue of one type.

    Attributes:
        places: by lane, when all that is still there became due; missing where it is not known.
        looked: by lane, when it was last read from the start, in monotonic time, and how long that took.
        is_long: the last read found as many as were asked for.
        turn, aged: grow with each read, and with each by age.
        prioritized: whether any has a priority, and when that was asked.
        newer_until: until when documents of a newer format are stepped over, which costs looking at each.
    """

    places: dict[int, datetime] = field(default_factory=dict)
    looked: dict[int, tuple[float, float]] = field(default_factory=dict)
    is_long: bool = False
    turn: int = 0
    aged: int = 0
    prioritized: tuple[bool, float] = (True, float("-inf"))
    newer_until: float = float("-inf")

    def since(self, lanes: Sequence[int], moment: float, *, in_vain: bool) -> datetime | None:
        """From where to read on; none when it is time to read from the start."""
        for lane in lanes:
            looked, took = self.looked.get(lane, (float("-inf"), 0.0))
            least = FROM_START_SECONDS if not in_vain else 0.0
            rest = SHARE * took if took > LONG_WALK_SECONDS or not in_vain else 0.0
            if lane not in self.places or moment - looked >= max(least, rest):
                return None
        return min((self.places[lane] for lane in lanes), default=None)

    def was_looked_at(self, lanes: Sequence[int], moment: float) -> bool:
        """Whether all these lanes were read from the start since then."""
        return all(lane in self.looked and self.looked[lane][0] >= moment for lane in lanes)


class Candidates:
    """Chooses for one worker process."""

    def __init__(self, connection: Connection, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._q, self._zoneless = connection.q, connection.q_zoneless
        self._clock, self._monotonic = connection.clock, monotonic
        self._types: dict[str, _Type] = {}
        self._heard: dict[str, tuple[int, str] | None] = {}  # by type, where one was heard of; of several none

    def hear(self, type: str, lane: int, id: str) -> None:
        """This one has come. Where it is the only one since the last look, the next takes it, and does not look.

        One in lanes that are not asked for is left for when they are. May be called from any thread.
        """
        self._heard[type] = None if type in self._heard else (lane, id)

    def choose(self, type: str, limit: int, lanes: Sequence[int], *, by_age: bool = False) -> list[str]:
        """Ids of due transactions, higher priority first, then the longer due. One that must run alone comes alone.

        With `by_age` the longest due come first, whatever their priority.
        """
        known = self._types.setdefault(type, _Type())
        known.turn += 1
        heard = self._heard.get(type)
        if heard and heard[0] not in lanes:
            return []
        self._heard.pop(type, None)
        if heard:
            return [heard[1]]
        return self._looked_for(type, known, limit, lanes, by_age=by_age)

    def _looked_for(self, type: str, known: _Type, limit: int, lanes: Sequence[int], *, by_age: bool) -> list[str]:
        if by_age and self._has_priorities(type, known):
            known.aged += 1
            some = _turned(lanes, known.aged * MERGED)[:MERGED]
            query = self._due([type], some) | {"priority": {"$in": PRIORITIES}}
            if rows := self._rows(query, AGE_ORDER, limit):
                return _ids(rows)
        if known.is_long and (rows := self._read_on(type, known, limit, _turned(lanes, known.turn)[:1])):
            return _ids(rows)
        began = self._monotonic()
        if rows := self._read_on(type, known, limit, lanes):
            return _ids(rows)
        if known.was_looked_at(lanes, began):
            return []
        return _ids(self._read_on(type, known, limit, lanes, in_vain=True))

    def due(self, without_key: Collection[str], with_key: Collection[str]) -> Due | None:
        """Where any of these types is due, without a key, or with one; what was heard of is gone where none is."""
        heard = dict(self._heard)
        places = [(sorted(without_key), FREE_LANES), (sorted(with_key), KEYED_LANES)]
        if places[0][0] == places[1][0]:
            places = [(places[0][0], range(FREE_LANES[0], KEYED_LANES[-1] + 1))]
        any_of = [_among(types, lanes) for types, lanes in places if types]
        query: Document = {"state": str(State.QUEUED), "due_at": {"$lte": self._clock.now()}}
        query |= any_of[0] if len(any_of) == 1 else {"$or": any_of}
        if any_of and (row := self._q.find_one(query, {"_id": 0, "type": 1, "lane": 1}, hint="due")):
            return Due(row["type"], row["lane"] in KEYED_LANES)
        for type in without_key:
            if type in heard and self._heard.get(type) == heard[type]:
                self._heard.pop(type, None)
        return None

    def next_due(self, types: Collection[str], lanes: Sequence[int]) -> datetime | None:
        """When the first one that is not due yet will be: for each priority in use, the first key of each lane."""
        now, found = self._clock.now(), list[datetime]()
        queued: Document = {"state": str(State.QUEUED), "lane": {"$in": list(lanes)}}
        for type in types:
            for priority in self._q.distinct("priority", {**queued, "type": type}):
                query = {**queued, "type": type, "priority": priority, "due_at": {"$gt": now}}
                rows = self._q.find(query, _ROW, hint="due").sort(AGE_ORDER).limit(1)
                found += [row["due_at"] for row in rows]
        return min(found, default=None)

    def forget(self, type: str) -> None:
        """Some of this type were put back at their place: the next read is from the start."""
        self._types.pop(type, None)

    def beware(self, type: str) -> None:
        """Some of this type are of a newer format: they are nobody's here, and must not hide those behind them."""
        self._types[type] = _Type(newer_until=self._monotonic() + NEWER_SECONDS)

    def _read_on(
        self, type: str, known: _Type, limit: int, lanes: Sequence[int], *, in_vain: bool = False
    ) -> list[Document]:
        now, began = self._clock.now(), self._monotonic()
        since = known.since(lanes, began, in_vain=in_vain)
        if in_vain and since is not None:
            return []
        readable: Document = {"v": READABLE} if began < known.newer_until else {}
        rows = self._rows(self._due([type], lanes, since) | readable, DUE_ORDER, limit)
        is_full = len(rows) == limit
        known.is_long = is_full and limit >= LONG
        if since is None:
            known.looked |= dict.fromkeys(lanes, (began, self._monotonic() - began))
        if len(_ids(rows)) < len(rows) or (is_full and not known.is_long):
            return rows
        if not (is_full and self._has_priorities(type, known)):
            up_to = rows[-1]["due_at"] if is_full else now
            known.places |= dict.fromkeys(lanes, min(up_to, now - LATE))
        return rows

    def _has_priorities(self, type: str, known: _Type) -> bool:
        """Whether any due one has a priority, as of a moment ago: then what is left over is not the longest due."""
        found, asked = known.prioritized
        if self._monotonic() - asked > PRIORITY_SECONDS:
            query = self._due([type], FREE_LANES) | {"priority": {"$ne": 0}}
            found = self._q.find_one(query, {"_id": 1}, hint="due") is not None
            known.prioritized = (found, self._monotonic())
        return found

    def _rows(self, query: Document, order: list[tuple[str, int]], limit: int) -> list[Document]:
        found = self._zoneless.find(query, _ROW, hint="due").sort(order).limit(limit)
        rows = found.batch_size(limit + 1).to_list()
        for row in rows[-1:]:  # no other one is asked for its time
            in_utc(row, "due_at")
        return rows

    def _due(self, types: list[str], lanes: Collection[int], since: datetime | None = None) -> Document:
        due: Document = {"$lte": self._clock.now()} | ({"$gte": since} if since else {})
        return {
            "state": str(State.QUEUED),
            "type": types[0] if len(types) == 1 else {"$in": types},
            "lane": next(iter(lanes)) if len(lanes) == 1 else {"$in": list(lanes)},
            "due_at": due,
        }


def _among(types: Sequence[str], lanes: Sequence[int]) -> Document:
    """Of these types, in lanes that stand side by side: one leap, where each lane by itself would be one."""
    return {"type": {"$in": [*types]}, "lane": {"$gte": lanes[0], "$lte": lanes[-1]}}


def _ids(rows: Sequence[Document]) -> list[str]:
    ids: list[str] = []
    for row in rows:
        if row.get("alone"):
            return ids or [row["_id"]]
        ids.append(row["_id"])
    return ids


def _turned(lanes: Sequence[int], by: int) -> list[int]:
    at = by % len(lanes) if lanes else 0
    return [*lanes[at:], *lanes[:at]]
