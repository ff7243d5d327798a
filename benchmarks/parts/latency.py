"""Idle pick-up: from the door's answer to the start of the handler, while nothing else is to be done.

The reference is what the database alone needs for it: a process that watches a change stream, and takes each document
with one durable update. It has no queue, no other worker beside it, and asks nothing.
"""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

from pymongo import MongoClient

from ..draining import until_drained
from ..measure import Row, Sample, Target, alternate
from ..stage import Site, Stage
from . import Run

PART = "latency"
TYPE = "bench.started"
BODY = {"type": TYPE, "data": {"username": "user123", "value": 150.0}}
APART_SECONDS = (0.03, 0.12)  # so that each finds the workers idle, at no moment of theirs in particular
ASKED, RAW = "from the answer to the handler's start", "from the write to its taking, plain PyMongo"


def measure(run: Run) -> Iterator[Row]:
    waits: dict[str, list[list[float]]] = {ASKED: [], RAW: []}
    count = run.size(150, 5)
    with run.stage.site() as site, _Taker(run.stage) as taker:
        site.api()
        site.work()

        def through_the_door() -> Sample:
            waits[ASKED].append(_waits(site, count))
            return Sample(0)

        def plain() -> Sample:
            waits[RAW].append(taker.waits(count))
            return Sample(0)

        alternate({RAW: plain, ASKED: through_the_door}, run.rounds, run.tell)
    for name, share, limit in (("p50", 0.5, 3), ("p99", 0.99, 12)):
        raw, asked = (tuple(Sample(_at(share, one)) for one in waits[what]) for what in (RAW, ASKED))
        yield Row(part=PART, what=f"{RAW}, {name}", unit="ms", samples=raw)
        yield Row(part=PART, what=f"{ASKED}, {name}", unit="ms", samples=asked, target=Target(limit, at_most=True))
        yield Row(
            part=PART,
            what=f"{ASKED}, {name}, against plain PyMongo",
            unit="ms",
            samples=asked,
            reference=f"{RAW}, {name}",
            reference_samples=raw,
        )


def _at(share: float, waits: list[float]) -> float:
    return waits[min(len(waits) - 1, int(len(waits) * share))]


def _waits(site: Site, count: int) -> list[float]:
    """In milliseconds, from the shortest; a handler may begin before its answer has arrived, which counts as 0."""
    answered: dict[str, float] = {}
    for _ in range(count):
        time.sleep(random.uniform(*APART_SECONDS))
        id = site.post("/api/data/", BODY)["data"]["transaction_id"]
        answered[id] = time.time()
    until_drained(site.q, TYPE)
    ended = site.q.find({"_id": {"$in": list(answered)}})
    return sorted(max(0.0, one["result"] - answered[one["_id"]]) * 1000 for one in ended)


class _Taker:
    """A process that takes what is written into a collection of its own."""

    def __init__(self, stage: Stage) -> None:
        self._uri = stage.uri
        self._client: MongoClient[dict[str, Any]] = MongoClient(stage.uri, w="majority", journal=True)
        self._told, told = multiprocessing.Pipe(duplex=False)
        self._process = multiprocessing.get_context("spawn").Process(target=_take, args=(stage.uri, told), daemon=True)

    def __enter__(self) -> _Taker:
        self._client["taker"].create_collection("Taken")
        self._process.start()
        self._told.recv()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()
        self._client.drop_database("taker")
        self._client.close()

    def waits(self, count: int) -> list[float]:
        """In milliseconds, from the shortest."""
        waits = []
        for _ in range(count):
            time.sleep(random.uniform(*APART_SECONDS))
            self._client["taker"]["Taken"].insert_one({"state": "queued", **BODY})
            written = time.time()
            waits.append(max(0.0, self._told.recv() - written) * 1000)
        return sorted(waits)


def _take(uri: str, told: Connection) -> None:
    client: MongoClient[dict[str, Any]] = MongoClient(uri, w="majority", journal=True)
    documents = client["taker"]["Taken"]
    with documents.watch([{"$match": {"operationType": "insert"}}]) as stream:
        told.send(0.0)
        for event in stream:
            mine = {"_id": event["documentKey"]["_id"], "state": "queued"}
            documents.find_one_and_update(mine, {"$set": {"state": "running"}})
            told.send(time.time())
