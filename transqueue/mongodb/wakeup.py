"""Wakes an idle worker when something may have become due: a change stream on Q, as a hint and never as the word.

Whoever is woken looks for itself, and whoever is not looks a little later all the same: so a stream that ends, breaks
in an election, or is not allowed to this user costs only time. It is read while its worker waits, and closed when the
worker is busy for long, for reading what a drain writes would cost more than it tells.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

from pymongo.change_stream import ChangeStream
from pymongo.errors import OperationFailure, PyMongoError

from ..order import source_of
from ..transaction import State
from .connection import Connection
from .documents import Document

AWAIT_SECONDS = 1.0
LEFT_SECONDS = 1.0  # how long the stream of a busy worker is kept
WAY_SECONDS, BURST_SECONDS = 0.001, 0.01  # how long the worker is given the interpreter, and how often at most
AGAIN_SECONDS, REFUSED_SECONDS = 1.0, 60.0
SOON = timedelta(seconds=2)  # what is due later than this is found by whoever looks for it
UNAUTHORIZED = 13
_CHANGED = "updateDescription.updatedFields"
_PIPELINE: list[Document] = [
    {
        "$match": {
            "$or": [
                {"operationType": "insert"},
                {f"{_CHANGED}.state": {"$in": [str(State.QUEUED), str(State.CANCELLED)]}},
            ]
        }
    },
    {
        "$project": {
            "due_at": {"$ifNull": ["$fullDocument.due_at", f"${_CHANGED}.due_at"]},
            "lane": "$fullDocument.lane",
            "type": "$fullDocument.type",
            "id": "$documentKey._id",
            "at_once": {"$eq": ["$fullDocument.due_at", "$fullDocument.created_at"]},
            "plugin": {"$cond": [{"$gt": ["$fullDocument.ordering_key", None]}, "$fullDocument.plugin.name", None]},
        }
    },
]


class Wakeup:
    """The bell of one worker process, rung from a thread of its own.

    Args:
        lanes: what is due in these is this worker's to take first; of others it hears as well, as `heard` tells.
        ring: ends the worker's sleep; called from the thread.
        hear: is told of what was enqueued without a key and is due, before the bell rings: its type, lane and id.
    """

    def __init__(
        self,
        connection: Connection,
        lanes: Collection[int],
        ring: Callable[[], None],
        hear: Callable[[str, int, str], None],
    ) -> None:
        self._q, self._clock = connection.q, connection.clock
        self._lanes, self._ring, self._hear = frozenset(lanes), ring, hear
        self._monotonic, self._sleep = connection.monotonic, connection.sleep
        self._wanted, self._stopped = threading.Event(), threading.Event()
        self._gave_way = float("-inf")
        self._heard: str | None = None
        self._sources: set[str] = set()
        self.is_listening = False

    def start(self) -> None:
        """Listen from now on, whenever the worker waits."""
        threading.Thread(target=self._run, name="wake-up", daemon=True).start()

    def listen(self) -> None:
        """The worker is about to wait."""
        self._wanted.set()

    def rest(self) -> None:
        """The worker is at work."""
        self._wanted.clear()

    def stop(self) -> None:
        """Listen no more, for good."""
        self._stopped.set()
        self._wanted.set()

    def heard(self) -> str | None:
        """What was heard since this was last asked: of its own lanes or of unknown ones (`ours`), or of `others`."""
        heard, self._heard = self._heard, None
        return heard

    def sources(self) -> frozenset[str]:
        """Where what was heard waits: its type, or with an ordering key `order.source_of` its plugin. Told once."""
        sources, self._sources = self._sources, set()
        return frozenset(sources)

    def _run(self) -> None:
        while self._wanted.wait() and not self._stopped.is_set():
            pause = AGAIN_SECONDS
            try:
                with self._q.watch(_PIPELINE, max_await_time_ms=int(AWAIT_SECONDS * 1000), batch_size=100) as stream:
                    self._follow(stream)
                    if stream.alive:
                        continue
            except OperationFailure as error:
                pause = REFUSED_SECONDS if error.code == UNAUTHORIZED else AGAIN_SECONDS
            except PyMongoError:
                pass
            except Exception:  # the client was closed: the process is ending
                return
            finally:
                self.is_listening = False
            self._stopped.wait(pause * (0.75 + 0.5 * random.random()))  # noqa: S311

    def _follow(self, stream: ChangeStream[Document]) -> None:
        """Read the stream until the worker has been busy for long, or the stream ended because Q was dropped."""
        self.is_listening = True
        self._tell("ours")  # what came before the stream was open is for the worker to find
        while stream.alive and self._wanted.wait(LEFT_SECONDS) and not self._stopped.is_set():
            if event := stream.try_next():
                self._note(event)
                self._give_way()

    def _note(self, event: Mapping[str, Any]) -> None:
        now, due_at, type, lane = self._clock.now(), event.get("due_at"), event.get("type"), event.get("lane")
        if due_at is not None and due_at >= now + SOON:
            return
        if type and event.get("plugin"):
            self._sources.add(source_of(event["plugin"]))
        elif type:
            self._sources.add(type)
            if event["at_once"] or event["due_at"] <= now:  # the door's clock may be ahead of ours
                self._hear(type, event["lane"], event["id"])
        self._tell("ours" if lane is None or lane in self._lanes else "others")

    def _give_way(self) -> None:
        """The worker goes first: asking for what comes next would keep the interpreter from it. Once in a burst."""
        if self._monotonic() >= self._gave_way + BURST_SECONDS:
            self._sleep(WAY_SECONDS)
            self._gave_way = self._monotonic()

    def _tell(self, heard: str) -> None:
        if self._heard != "ours":
            self._heard = heard
        with suppress(OSError):
            self._ring()
