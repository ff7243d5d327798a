"""What became of transactions, and when: every change of state in Q, as a change stream tells it.

It goes on after elections and restarts; while the database is away nothing is told, and what was done meanwhile is
told late, which is when others could have seen it, too.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

from parties import DATABASE
from pymongo import MongoClient
from pymongo.errors import PyMongoError

SUCCEEDED = ("done", "rejected")
PIPELINE: list[dict[str, Any]] = [
    {"$match": {"operationType": "update", "updateDescription.updatedFields.state": {"$exists": True}}},
    {
        "$project": {
            "documentKey": 1,
            "state": "$updateDescription.updatedFields.state",
            "worker": "$updateDescription.updatedFields.lease.worker",
        }
    },
]


@dataclass(frozen=True, slots=True)
class Change:
    """A transaction's new state, heard at `at` by `time.monotonic`; the worker's id when it was leased."""

    at: float
    id: str
    state: str
    worker: str


class History(threading.Thread):
    """Listens until closed."""

    def __init__(self, uri: str) -> None:
        super().__init__(name="history", daemon=True)
        self._client: MongoClient[dict[str, Any]] = MongoClient(
            uri, serverSelectionTimeoutMS=2000, socketTimeoutMS=3000, heartbeatFrequencyMS=1000
        )
        self._token: Any = None
        self._closing, self._listening = threading.Event(), threading.Event()
        self.changes: list[Change] = []
        self.ended: set[str] = set()

    def run(self) -> None:
        while not self._closing.is_set():
            try:
                self._listen()
            except PyMongoError:
                self._closing.wait(0.1)

    def until_listening(self) -> None:
        """Wait until nothing can be missed any more."""
        if not self._listening.wait(30):
            raise TimeoutError("no change stream after 30 s")

    def close(self) -> None:
        self._closing.set()
        self.join(10)
        self._client.close()

    def _listen(self) -> None:
        q = self._client[DATABASE]["Q"]
        with q.watch(PIPELINE, resume_after=self._token, max_await_time_ms=200) as stream:
            self._listening.set()
            while not self._closing.is_set():
                change = stream.try_next()
                self._token = stream.resume_token
                if change:
                    self._note(change)

    def _note(self, change: dict[str, Any]) -> None:
        id, state = change["documentKey"]["_id"], change["state"]
        self.changes.append(Change(time.monotonic(), id, state, change.get("worker", "")))
        if state in SUCCEEDED:
            self.ended.add(id)
