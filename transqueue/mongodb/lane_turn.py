"""One lease on one lane, inside its session.

It writes the lane's document, so that two leases on one lane never overlap, reads the lane's front in the order
accepted, takes what may go, and notes in the lane's document what is leased, for the next one to know.

When the front is full and yields too little, what stands still in it is set aside (`ordered: false`), and its key is
written down in `Keys`, with the first one that is aside and when to look again: so a backlog that cannot move costs
later leases nothing. While a key is written down, none of its transactions from that first one on may go; when its head
may, the next few come back.

What is only behind many that were leased a moment ago stays: it moves on as fast as a worker can go, and whatever is
behind it in the lane with it, in the order accepted. To set it aside and bring it back would double its cost.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from pymongo import ASCENDING, ReturnDocument, UpdateOne
from pymongo.client_session import ClientSession

from ..order import Row, choose
from ..transaction import Lease, State
from .connection import Connection
from .documents import Document, in_utc, is_newer
from .indexes import KEYED

FRONT = 500  # rows of a lane that one lease looks at
SHORT = 20  # rows that are read first, beside one for each wanted: more are needed only where some may not go
COME_BACK = 200  # rows of one key that come back at a time
KEYS_LOOKED_AT = 50
LOOK_AGAIN = timedelta(seconds=0.05)
MANY_AT_ONCE = 16  # nobody leases so many of a key whose handler is slow, and none holds so many for long
A_MOMENT = timedelta(seconds=0.4)
NO_HANDLER = timedelta(seconds=5)
FAR = timedelta(days=3650)  # behind a dead one: an operator's word makes it sooner
NEWER = ""  # the type of a row of a newer format, for which nobody here has a handler: its key stands still
_ROW = {"ordering_key": 1, "type": 1, "state": 1, "due_at": 1, "alone": 1, "accepted": 1, "v": 1, "lease.at": 1}


class LaneTurn:
    """A lease to be taken; the session may call `take` several times, the last time is what counts.

    Attributes:
        taken: ids of what was leased, in order, under `lease`.
        seen: what is known of these: whole documents as they were before, or none.
        set_aside: how many rows were set aside.
    """

    def __init__(
        self,
        connection: Connection,
        worker: str,
        plugin: str,
        types: Collection[str],
        limit: int,
        lane: int,
        *,
        front: int = FRONT,
    ) -> None:
        self._q, self._zoneless = connection.q, connection.q_zoneless
        self._lanes, self._keys = connection.lanes, connection.keys
        self._clock, self._limit, self._front = connection.clock, limit, front
        self.plugin, self.types, self.lane = plugin, types, lane
        self.lease = Lease(uuid.uuid4().hex, worker, self._clock.now())
        self.taken: list[str] = []
        self.seen: list[Document] = []
        self.set_aside = 0

    def take(self, session: ClientSession) -> None:
        """Lease what may go."""
        now = self._clock.now()
        lane = self._write_lane(session)
        has_aside, running = bool(lane.get("aside")), self._running(lane.get("leased"), session)
        if has_aside:
            self._bring_back(now, session)
        short = min(SHORT + self._limit, self._front)
        keys = frozenset(running.values())
        seen = self._look(short, None, now, keys, session, has_aside=has_aside)
        self.seen = seen.rows_taken
        if len(seen.rows) == short < self._front and len(seen.taken) < self._limit:
            seen, self.seen = self._look(self._front, _ROW, now, keys, session, has_aside=has_aside), []
        self.taken, self.set_aside = seen.taken, 0
        if self.taken:
            self._lease(session)
        if self.taken or "leased" not in lane:
            self._note_leased([*running, *self.taken], session)
        if len(seen.rows) == self._front and len(self.taken) < self._limit:
            self._put_aside(standing(seen.rows, seen.still, now, taken=self.taken), now, session)

    def _look(
        self,
        size: int,
        columns: Mapping[str, int] | None,
        now: datetime,
        running: Collection[str],
        session: ClientSession,
        *,
        has_aside: bool,
    ) -> _Seen:
        """The front, and what of it may go and what stands still."""
        rows = self.front(session, size, columns)
        firsts = self._firsts_aside(rows, session) if has_aside else {}
        ahead = [row_of(row) for row in rows if _is_ahead(row, firsts)]
        choice = choose(ahead, now=now, types=self.types, limit=self._limit, running=running)
        still = {row.id for row in choice.still}
        return _Seen(
            rows,
            taken=[row.id for row in choice.taken],
            still=[row for row in rows if row["_id"] in still or not _is_ahead(row, firsts)],
        )

    def front(
        self, session: ClientSession | None, size: int, columns: Mapping[str, int] | None = _ROW
    ) -> list[Document]:
        """The first rows of the lane that are not aside, in the order accepted; without `columns` whole documents."""
        query = {"ordered": True, "plugin.name": self.plugin, "lane": self.lane}
        found = self._zoneless.find(query, columns, session=session, hint="front").batch_size(size + 1)
        rows = found.sort("accepted", ASCENDING).limit(size).to_list()
        for row in rows:
            in_utc(row, "due_at")
            in_utc(row.get("lease", {}), "at")
        return rows

    def _write_lane(self, session: ClientSession) -> Document:
        """Make this lease the only one on the lane; the lane as it is."""
        lane = self._lanes.find_one_and_update(
            {"_id": self._lane_id},
            {"$inc": {"turn": 1}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        return lane or {}

    @property
    def _lane_id(self) -> str:
        return lane_id(self.plugin, self.lane)

    def _running(self, leased: Sequence[str] | None, session: ClientSession) -> Mapping[str, str]:
        """What runs of this lane, wherever it stands, and its key: of what was leased here, what has not ended.

        Looked up by id, because what has ended leaves keys behind in every index of what runs, and mongod would step
        over them for each key asked for. A lane that does not know what was leased has them all looked through.
        """
        query: Document = {"_id": {"$in": leased}} if leased is not None else {"lane": self.lane, **KEYED}
        query |= {"state": str(State.RUNNING), "plugin.name": self.plugin}
        hint = "held" if leased is None else "_id_"
        rows = self._q.find(query, {"ordering_key": 1}, session=session, hint=hint)
        return {row["_id"]: row["ordering_key"] for row in rows}

    def _lease(self, session: ClientSession) -> None:
        running = {"$set": {"state": str(State.RUNNING), "lease": asdict(self.lease)}}
        self._q.update_many({"_id": {"$in": self.taken}}, running, session=session)

    def _note_leased(self, ids: Sequence[str], session: ClientSession) -> None:
        self._lanes.update_one({"_id": self._lane_id}, {"$set": {"leased": list(ids)}}, session=session)

    # What stands still

    def _put_aside(self, resting: Sequence[Document], now: datetime, session: ClientSession) -> None:
        """Out of the front with them."""
        if not resting:
            return
        firsts: dict[str, Any] = {}
        for row in resting:
            firsts.setdefault(row["ordering_key"], row["accepted"])
        self._q.update_many(
            {"_id": {"$in": [row["_id"] for row in resting]}}, {"$set": {"ordered": False}}, session=session
        )
        noted = [
            UpdateOne({"_id": key_id(self.plugin, key)}, self._note(key, first, now), upsert=True)
            for key, first in firsts.items()
        ]
        self._keys.bulk_write(noted, ordered=False, session=session)
        self._lanes.update_one({"_id": self._lane_id}, {"$set": {"aside": True}}, session=session)
        self.set_aside = len(resting)

    def _note(self, key: str, first: Any, now: datetime) -> Document:
        names = {"plugin": self.plugin, "key": key, "lane": self.lane}
        return {"$min": {"first": first}, "$setOnInsert": {**names, "look_at": now}}

    def _firsts_aside(self, rows: Sequence[Document], session: ClientSession) -> Mapping[str, Any]:
        """By key: when the first of it that is aside was accepted."""
        ids = list({key_id(self.plugin, row["ordering_key"]) for row in rows})
        found = self._keys.find({"_id": {"$in": ids}}, {"key": 1, "first": 1}, session=session)
        return {key["key"]: key["first"] for key in found}

    def _bring_back(self, now: datetime, session: ClientSession) -> None:
        """Look at the keys whose time has come; the next few of those that may go on come back to the front."""
        due = {"lane": self.lane, "look_at": {"$lte": now}, "plugin": self.plugin}
        keys = list(self._keys.find(due, session=session).sort("look_at", ASCENDING).limit(KEYS_LOOKED_AT))
        for key in keys:
            self._look_at(key, now, session)
        if not keys and not self._keys.find_one({"lane": self.lane, "plugin": self.plugin}, session=session):
            self._lanes.update_one({"_id": self._lane_id}, {"$unset": {"aside": 1}}, session=session)

    def _look_at(self, key: Document, now: datetime, session: ClientSession) -> None:
        query = {"plugin.name": self.plugin, "ordering_key": key["key"], "ordered": {"$exists": True}}
        found = self._q.find(query, _ROW, session=session, hint="order").sort("accepted", ASCENDING)
        head = next(iter(found.clone().limit(1)), None)
        wait = self._wait(head, now) if head else None
        rows = list(found.limit(COME_BACK + 1)) if head and not wait else []
        if wait is None:
            back = [row["_id"] for row in rows[:COME_BACK]]
            aside = {"_id": {"$in": back}, "ordered": False}  # never a running one: that would disturb its settlement
            self._q.update_many(aside, {"$set": {"ordered": True}}, session=session)
        if len(rows) > COME_BACK and wait is None:
            changes = {"first": rows[COME_BACK]["accepted"], "look_at": now}
            self._keys.update_one({"_id": key["_id"]}, {"$set": changes}, session=session)
        elif wait is None:
            self._keys.delete_one({"_id": key["_id"]}, session=session)
        else:
            self._keys.update_one({"_id": key["_id"]}, {"$set": {"look_at": wait}}, session=session)

    def _wait(self, head: Document, now: datetime) -> datetime | None:
        """When to look at a key again, by its head; none when the head may go."""
        if head["state"] == State.DEAD:
            return now + FAR
        if head["state"] == State.RUNNING:
            return now + LOOK_AGAIN
        if head["due_at"] > now:
            due_at: datetime = head["due_at"]
            return due_at
        return None if _type(head) in self.types else now + NO_HANDLER


@dataclass(frozen=True, slots=True)
class _Seen:
    """The first rows of a lane; ids of those to lease, and the rows that cannot go now."""

    rows: Sequence[Document]
    taken: list[str]
    still: Sequence[Document]

    @property
    def rows_taken(self) -> list[Document]:
        """Of the rows those to lease."""
        taken = frozenset(self.taken)
        return [row for row in self.rows if row["_id"] in taken]


def standing(
    front: Sequence[Document], still: Sequence[Document], now: datetime, *, taken: Collection[str] = ()
) -> list[Document]:
    """Of what cannot go now, what is in the way of others, perhaps for long.

    Running ones are not: they are few, and their end moves their key on. Nor is the rest of a key that runs fast.

    Args:
        taken: what is being leased.
    """
    mine = frozenset(taken)
    at_once = Counter(row["ordering_key"] for row in front if row["_id"] in mine or _was_just_leased(row, now))
    return [row for row in still if row["state"] != State.RUNNING and at_once[row["ordering_key"]] < MANY_AT_ONCE]


def _was_just_leased(row: Document, now: datetime) -> bool:
    return bool(row["state"] == State.RUNNING and row["lease"]["at"] > now - A_MOMENT)


def lane_id(plugin: str, lane: int) -> str:
    """The id of a lane's document in `Lanes`, of the keyed ones of one plugin."""
    return f"{plugin}:{lane}"


def key_id(plugin: str, key: str) -> str:
    """The id of a key's document in `Keys`."""
    return f"{plugin}/{key}"


def row_of(document: Document) -> Row:
    """What the order needs to know of a document."""
    return Row(
        id=document["_id"],
        key=document["ordering_key"],
        type=_type(document),
        state=State(document["state"]),
        due_at=document["due_at"],
        alone=document.get("alone", False),
    )


def _type(row: Document) -> str:
    return NEWER if is_newer(row) else str(row["type"])


def _is_ahead(row: Document, firsts: Mapping[str, Any]) -> bool:
    """Whether it was accepted before everything of its key that is aside."""
    first = firsts.get(row["ordering_key"])
    return first is None or row["accepted"] < first
