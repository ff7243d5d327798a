"""Measures a MongoDB as TransQueue uses it: the round trip, a durable write, a light one, and what mongod spends.

It writes into one collection of a database that was not there before, and drops that database at the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from pymongo import WriteConcern
from pymongo.errors import PyMongoError

from ..errors import TransQueueError
from .connection import Connection, answering

SAMPLES = 60
SAMPLES_SECONDS = 2.0  # at most, for each kind


class Gauge:
    """One deployment, and a database on it that is this gauge's own. Use it in a `with`."""

    def __init__(self, uri: str, database: str) -> None:
        self._connection = Connection(uri, database)
        self._collection = self._connection.database["Gauge"]

    def __enter__(self) -> Self:
        """Begin.

        Raises:
            TransQueueError: a database of this name is there already.
            QueueUnavailable: the deployment does not answer, or does not let this user write.
        """
        with answering("look at the database"):
            if self._connection.database.list_collection_names():
                name = self._connection.database.name
                raise TransQueueError(f"the database {name} is there already; it was left as it is")
        with answering("write into a database of its own; its user needs the role readWrite on it"):
            self._collection.insert_one({})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drop the database."""
        with suppress(PyMongoError):
            self._connection.client.drop_database(self._connection.database.name)
        self._connection.close()

    def round_trips(self) -> list[float]:
        """Seconds that a command takes which does nothing."""
        return _timed(lambda: self._connection.client.admin.command("ping"))

    def durable_writes(self) -> list[float]:
        """Seconds that one small document takes until the journal of a majority has it."""
        return _timed(lambda: self._collection.insert_one({}))

    def light_writes(self) -> list[float]:
        """Seconds that one small document takes when nobody waits for a journal."""
        light = self._collection.with_options(write_concern=WriteConcern(1, j=False))
        return _timed(lambda: light.insert_one({}))

    def discard_waiting(self) -> None:
        """Remove the transactions of this database that nobody has begun."""
        with answering("clear the database"):
            self._connection.q.delete_many({"state": "queued"})

    def server_seconds(self) -> float | None:
        """CPU time that the primary has used so far; none where this user may not ask, or the server does not tell."""
        with suppress(PyMongoError, KeyError):
            told = self._connection.client.admin.command("serverStatus")["extra_info"]
            return float(told["user_time_us"] + told["system_time_us"]) / 1e6
        return None

    def server_cores(self) -> int | None:
        """How many cores the primary has; none where that is not known."""
        with suppress(PyMongoError, KeyError):
            return int(self._connection.client.admin.command("hostInfo")["system"]["numCores"])
        return None


def _timed(action: Callable[[], object]) -> list[float]:
    """How long each call took; the first one, which may open a connection, does not count."""
    taken: list[float] = []
    with answering("measure the database"):
        action()
        until = time.monotonic() + SAMPLES_SECONDS
        while len(taken) < SAMPLES and time.monotonic() < until:
            began = time.perf_counter()
            action()
            taken.append(time.perf_counter() - began)
    return taken
