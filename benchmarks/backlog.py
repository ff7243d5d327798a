"""Backlogs: documents as the door stores them, by the thousand, without the door's time."""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import Timestamp
from pymongo import WriteConcern
from pymongo.collection import Collection

from transqueue.transaction import free_lane, keyed_lane

Document = dict[str, Any]

AT_ONCE, A_SECOND = 1000, 10_000
USERNAME = "user123"  # in a template: where a username goes
_ids = itertools.count(time.time_ns() // 1_000_000 * 10**8)


class Template:
    """What the door stored for one submission; every copy has an id of its own, the lane that follows, and a user."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = dict(document)

    @property
    def type(self) -> str:
        return str(self.document["type"])

    def make(self, user: str = USERNAME, at: datetime | None = None) -> Document:
        """One of this user; accepted then, else when the submission was."""
        made = copy.copy(self.document)
        if at:
            made["created_at"] = made["due_at"] = at
        made["_id"] = id = str(next(_ids))
        made["accepted"] = Timestamp(0, 0)
        made["data"] = {**made["data"], "username": user}
        if "ordering_key" in made:
            made["ordering_key"] = key = made["ordering_key"].replace(USERNAME, user)
            made["lane"] = keyed_lane(made["plugin"]["name"], key)
        else:
            made["lane"] = free_lane(id)
        return made

    def many(self, count: int, users: int = 1) -> Iterator[Document]:
        """Copies whose users take turns, as if they had come until now, in batches that each have one moment."""
        names = [USERNAME] if users == 1 else [f"user{number}" for number in range(users)]
        began = datetime.now(UTC) - timedelta(seconds=count / A_SECOND)
        for number in range(count):
            at = began + timedelta(seconds=number // AT_ONCE * AT_ONCE / A_SECOND)
            yield self.make(names[number % users], at)


def fill(q: Collection[Document], template: Template, count: int, users: int = 1) -> None:
    """Put a backlog into Q, durable at its end."""
    fill_with(q, template.many(count, users))


def fill_with(q: Collection[Document], documents: Iterable[Document]) -> None:
    """Put these into Q, in this order, durable at their end."""
    fast, given = q.with_options(write_concern=WriteConcern(w=1, j=False)), iter(documents)
    batch = list(itertools.islice(given, AT_ONCE))
    while batch:
        following = list(itertools.islice(given, AT_ONCE))
        (fast if following else q).insert_many(batch, ordered=False)
        batch = following
