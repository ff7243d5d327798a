"""The real queue, `MongoQueue` with all its verbs, on the simulated store."""

from __future__ import annotations

import random as randomness
import time
from collections.abc import Callable, Mapping
from typing import Any

from transqueue.admin.pause import Pause
from transqueue.admin.report import WorkerReport
from transqueue.clock import Clock
from transqueue.mongodb.connection import Connection
from transqueue.mongodb.queue import MongoQueue
from transqueue.transaction import TransactionIds

from .client import Client
from .command import Network


class QuietQueue(MongoQueue):
    """Of what decides nothing while nobody looks at workers and nobody pauses a type, nothing is sent."""

    def report(self, reports: Mapping[str, WorkerReport]) -> None: ...

    def paused(self) -> Mapping[str, Pause]:
        return {}


def queue_on(
    network: Network,
    clock: Clock,
    *,
    name: str = "",
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    chance: randomness.Random | None = None,
    quiet: bool = False,
) -> MongoQueue:
    """A process's own connection to the queue; `name` tells the store whose it is."""

    def open_client(_: str, *, event_listeners: Any, **__: Any) -> Any:
        watches = [one for one in event_listeners if hasattr(one, "reset")]  # not the one for heartbeats
        return Client(network, name, watches)

    connection = Connection(
        "mongodb://simulated/?replicaSet=simulated",
        "transqueue",
        open_client=open_client,
        monotonic=monotonic,
        sleep=sleep,
        random=chance.random if chance else randomness.random,
    )
    connection.clock = clock  # type: ignore[assignment]
    connection.ids = TransactionIds(chance.randrange if chance else randomness.randrange)
    return QuietQueue(connection) if quiet else MongoQueue(connection)
