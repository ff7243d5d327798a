"""How long pages take with much stored, and what looking on and sweeping cost: `python -m benchmarks.dashboard`.

Pages are asked for in this process, so their times are the server's alone, database included; what several who look on
share for two seconds is looked up anew for each. The door is measured in pairs of rounds, with and without three
dashboards that refresh every five seconds and a scrape of /metrics as often, and in as many pairs with and without a
sweep of what has ended; a ratio is taken pair by pair, and every second pair is run backwards.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import click
import pymongo
from pymongo import WriteConcern

from transqueue.admin.cause import cause_of
from transqueue.admin.retention import Retention
from transqueue.api.app import create_app
from transqueue.api.window import window
from transqueue.cli.sweeper import RESTS, SHORTEST_REST
from transqueue.config import Config, PluginConfig
from transqueue.dashboard.window import Shared
from transqueue.events import Events
from transqueue.mongodb import MongoQueue, connect
from transqueue.mongodb.documents import encode
from transqueue.mongodb.embedded import PrivateMongod
from transqueue.mongodb.measures import HOUR, MINUTE
from transqueue.plugins import load_plugins
from transqueue.transaction import LANES, Idempotency, Stamp, State, Transaction, TransactionIds, keyed_lane

TYPES = ("deposit", "transfer", "greet", "invoice.pay")
DAYS = 10  # over which what is stored was accepted
SWEPT_DAYS = 7  # what ended before is swept
ERRORS = ("KeyError", "ValueError", "TimeoutError", "OSError", "LookupError")
REASONS = ("no account", "no route", "the bank is closed", "refused", "gone", "too slow")
PAGES = (
    "/ui/",
    "/ui/plots.json?span=1h",
    "/ui/plots.json?span=24h",
    "/ui/plots.json?span=7d&type=deposit",
    "/ui/transactions",
    "/ui/transactions?after={old}",
    "/ui/transactions?state=done",
    "/ui/transactions?state=queued",
    "/ui/transactions?state=running",
    "/ui/transactions?state=rejected",
    "/ui/transactions?state=dead",
    "/ui/transactions?state=cancelled",
    "/ui/transactions?state=queued&type=deposit",
    "/ui/transactions?type=transfer",
    "/ui/transactions?type=nothing",
    "/ui/transactions?state=done&type=nothing",
    "/ui/transactions?plugin=greet",
    "/ui/transactions?plugin=nothing",
    "/ui/transactions?key=user7",
    "/ui/transactions?submitter=nobody",
    "/ui/transactions?age=24h&state=dead",
    "/ui/transactions?cause={cause}",
    "/ui/transactions/{done}",
    "/ui/transactions/{queued}",
    "/ui/transactions/{keyed}",
    "/ui/transactions/{dead}",
    "/ui/failures",
    "/ui/failures/redrive?cause={cause}",
    "/ui/types",
    "/ui/types/deposit",
    "/ui/workers",
    "/ui/plugins",
    "/ui/audit",
    "/ui/system",
    "/metrics",
    "/api/stats",
    "/api/data/",
    "/api/data/{queued}/explain",
)
BATCH = 10_000
REFRESH_SECONDS = 5.0  # of an open page
LOOKED_AT = ("/ui/", "/ui/transactions", "/ui/failures", "/metrics")


@click.command()
@click.option("--stored", default=1_000_000, help="How many transactions are stored.")
@click.option("--times", default=20, help="How often each page is asked for.")
@click.option("--pairs", default=0, help="How many pairs of rounds at the door, of either kind; 0: pages only.")
@click.option("--seconds", default=10.0, help="How long a round at the door takes.")
def main(stored: int, times: int, pairs: int, seconds: float) -> None:
    """Measure pages, and the door with and without those who look on, and with and without a sweep."""
    with tempfile.TemporaryDirectory() as folder:
        mongod = PrivateMongod(Path(folder))
        uri = mongod.start()
        queue = connect(uri, "transqueue")
        try:
            began = time.monotonic()
            with pymongo.timeout(300):
                examples = Stock(queue).fill(stored)
            click.echo(
                f"{stored:,} stored in {time.monotonic() - began:.0f} s; load {os.getloadavg()[0]:.1f}", err=True
            )
            for page, taken in pages(queue, times, examples):
                ordered = sorted(taken)
                p95 = ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))]
                print(f"{page:48} {statistics.median(taken):6.1f} ms median {p95:6.1f} ms p95", flush=True)
            if pairs:
                at_the_door(uri, queue, Path(folder), pairs, seconds)
        finally:
            queue.close()
            mongod.stop()


class Stock:
    """What is stored: transactions of the last days, and the figures of their minutes.

    Of a thousand, 20 are queued, one runs, 20 are dead of one of 120 causes, 30 rejected and 10 cancelled; the others
    are done. One in four has an ordering key, one in five an idempotency key.
    """

    def __init__(self, queue: MongoQueue) -> None:
        self._queue, self._ids, self._now = queue, TransactionIds(), queue.clock.now()
        self._examples: dict[str, str] = {}
        self._templates = [self._template(number) for number in range(20)]

    def fill(self, stored: int) -> dict[str, str]:
        """Store so many; an example of each kind, by its name."""
        q = self._queue.database["Q"].with_options(write_concern=WriteConcern(1))
        step = timedelta(days=DAYS) / stored
        for first in range(0, stored, BATCH):
            numbers = range(first, min(stored, first + BATCH))
            q.insert_many([self._document(number, self._now - (stored - number) * step) for number in numbers])
            if first <= stored // 2 < first + BATCH:
                self._examples["old"] = self._examples["done"]
        self._measure()
        return self._examples

    def _template(self, number: int) -> dict[str, Any]:
        """Twenty kinds: four types, each with and without keys."""
        type = TYPES[number % 4]
        plugin = {"deposit": "ledger", "transfer": "ledger"}.get(type, "greet")
        keyed = {"ordering_key": "user7", "lane": keyed_lane(plugin, "user7")} if type == "deposit" else {}
        given = {
            "id": "1" * 21,
            "type": type,
            "data": {"username": "user7", "value": 5, "note": "of the last month"},
            "created_at": self._now,
            "due_at": self._now,
            "max_attempts": 8,
            "submitter": "shop",
            "plugin": Stamp(plugin, "1.0", "0" * 16),
            "request_id": "0" * 32,
            "idempotency": Idempotency("key", "0" * 64) if number % 5 == 0 else None,
        }
        return encode(Transaction(**given | keyed))

    def _document(self, number: int, at: datetime) -> dict[str, Any]:
        id, template = self._ids.next(at), self._templates[number % 20]
        document = {**template, "_id": id, "created_at": at, "due_at": at}
        document["data"] = {**template["data"], "username": f"user{number % 1000}", "value": number}
        if "ordering_key" in document:
            document["ordering_key"] = f"user{number % 1000}"
            document["lane"] = keyed_lane("ledger", document["ordering_key"])
        else:
            document["lane"] = number % LANES
        if "idempotency" in document:
            document["idempotency"] = {**template["idempotency"], "key": id}
        state = _state(number % 1000)
        self._examples["keyed" if state == "queued" and "ordering_key" in document else state] = id
        if state == "queued":
            return document
        return self._moved(document, state, number, at)

    def _moved(self, document: dict[str, Any], state: str, number: int, at: datetime) -> dict[str, Any]:
        entry = {"at": at, "state": state, "attempt": 1, "worker": "0" * 32, "leased_at": at}
        if state == "running":
            return document | {"state": state, "lease": {"token": "t", "worker": "w", "at": at}}
        if state != "dead":
            document.pop("ordered", None)
        document |= {"state": state, "finished_at": at, "attempts": 1, "history": [entry], "ended_by": "0" * 32}
        if state == "done":
            return document | {"result": {"balance": number}}
        error = {
            "type": ERRORS[number // 1000 % 5],
            "message": REASONS[number // 5000 % 6],
            "traceback": "File x\n" * 20,
        }
        if state == "dead":
            self._examples["cause"] = cause_of(document["type"], error)
            return document | {"error": error, "cause": self._examples["cause"], "attempts": 8}
        return document | ({"error": error} if state == "rejected" else {})

    def _measure(self) -> None:
        """The figures of each minute of a week, and of each hour."""
        buckets = {str(bucket): 9 for bucket in range(8)} | {"sum": 5.0}
        figures = {"accepted": 90, "done": 80, "dead": 1, "wait": buckets, "held": buckets, "run": buckets}
        rows: list[dict[str, Any]] = []
        for span, count in ((MINUTE, 7 * 24 * 60), (HOUR, 7 * 24)):
            last = self._now.timestamp() // span * span
            for at in (datetime.fromtimestamp(last - span * number, UTC) for number in range(count)):
                born = {"span": span, "at": at, "expires_at": at + timedelta(days=140), "n": figures}
                rows += ({"_id": f"{span}/{type}/{at:%Y-%m-%dT%H:%M}", "type": type, **born} for type in ("*", *TYPES))
        minutes = self._queue.database["Minutes"].with_options(write_concern=WriteConcern(1))
        for first in range(0, len(rows), BATCH):
            minutes.insert_many(rows[first : first + BATCH], ordered=False)


def _state(place: int) -> str:
    for state, most in (("queued", 20), ("dead", 40), ("rejected", 70), ("cancelled", 80), ("running", 81)):
        if place < most:
            return state
    return "done"


def pages(queue: MongoQueue, times: int, examples: dict[str, str]) -> Iterator[tuple[str, list[float]]]:
    """What each page takes, in milliseconds."""
    config = Config(plugins={"ledger": PluginConfig(), "greet": PluginConfig()})
    events = Events()
    table = load_plugins(config, events=events)
    queue.measures.refresh_depths()
    Shared.look = lambda _, __, look: look()  # type: ignore[method-assign, assignment]
    app = create_app(
        queue=queue,
        table=table,
        config=config,
        clock=queue.clock,
        events=events,
        dashboard=window(queue, table, config, events, None),
    )
    client = app.test_client()
    for page in PAGES:
        path = page.format(**examples)
        client.get(path)
        queue.measures.refresh_depths()
        yield page, [_taken(client, path) for _ in range(times)]


def _taken(client: Any, page: str) -> float:
    began = time.perf_counter()
    answer = client.get(page)
    assert answer.status_code == 200, (page, answer.status_code)
    return (time.perf_counter() - began) * 1000


def at_the_door(uri: str, queue: MongoQueue, folder: Path, pairs: int, seconds: float) -> None:
    """Print what looking on, and then sweeping, costs the door."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = {"mongodb": {"uri": uri}, "api": {"port": port}, "plugins": {"ledger": {}, "greet": {}}}
    (folder / "config.yaml").write_text(json.dumps(config))
    command = [str(Path(sys.executable).parent / "transqueue"), "api"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _until_open(port)
        accepted(port, 2.0)
        lookers = [partial(_look, port, path, number * REFRESH_SECONDS / 4) for number, path in enumerate(LOOKED_AT)]
        _compare("those who look on", port, pairs, seconds, *lookers)
        removed: list[tuple[int, int]] = []
        _compare("a sweep", port, pairs, seconds, lambda over: _sweep(queue, over, removed))
        spent = pairs * seconds
        print(
            f"swept meanwhile: {sum(one for one, _ in removed) / spent:,.0f} removed and "
            f"{sum(one for _, one in removed) / spent:,.0f} slimmed a second"
        )
    finally:
        process.terminate()
        process.wait(30)
    rates = list(unhindered(queue, seconds))
    print(f"swept with nothing else to do, without rests: {statistics.median(rates):,.0f} removed or slimmed a second")


def _compare(what: str, port: int, pairs: int, seconds: float, *beside: Callable[[threading.Event], None]) -> None:
    """Accepted per second with something beside it, over without, pair by pair; every second pair backwards."""
    ratios, rates = [], []
    for pair in range(pairs):
        order = (False, True) if pair % 2 == 0 else (True, False)
        counts = {with_it: accepted(port, seconds, *(beside if with_it else ())) for with_it in order}
        ratios.append(round(counts[True] / counts[False], 3))
        rates.append(round(counts[False]))
    print(f"door with {what}: {statistics.median(ratios):.3f} of without, pairs {ratios}, without {rates} a second")


def _retention() -> Retention:
    return Retention(days=dict.fromkeys((State.DONE, State.REJECTED, State.CANCELLED), SWEPT_DAYS), key_days=30)


def _sweep(queue: MongoQueue, over: threading.Event, removed: list[tuple[int, int]]) -> None:
    """As a supervisor does: a step, and a rest several times as long."""
    while not over.is_set():
        began = time.monotonic()
        swept = queue.sweep.step(_retention(), "bench")
        removed.append((swept.removed, swept.slimmed))
        over.wait(max(SHORTEST_REST, RESTS * (time.monotonic() - began)))


def unhindered(queue: MongoQueue, seconds: float) -> Iterator[float]:
    """What a sweep does per second, step by step."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        began = time.monotonic()
        swept = queue.sweep.step(_retention(), "bench")
        if swept.over:
            return
        if swept.removed + swept.slimmed:
            yield (swept.removed + swept.slimmed) / (time.monotonic() - began)


def _until_open(port: int) -> None:
    limit = time.monotonic() + 90
    while time.monotonic() < limit:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        time.sleep(0.2)
    raise SystemExit("the door does not open")


def accepted(port: int, seconds: float, *beside: Callable[[threading.Event], None]) -> float:
    """How many single submissions four clients have accepted per second, with this going on beside them."""
    over, counts = threading.Event(), [0] * 4
    threads = [threading.Thread(target=_submit, args=(port, over, counts, place)) for place in range(4)]
    threads += [threading.Thread(target=one, args=(over,)) for one in beside]
    for thread in threads:
        thread.start()
    over.wait(seconds)
    over.set()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds


def _submit(port: int, over: threading.Event, counts: list[int], place: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    body = json.dumps({"username": f"user{place}", "value": 5})
    while not over.is_set():
        connection.request("POST", "/api/data/", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        counts[place] += answer.status == 200


def _look(port: int, path: str, first: float, over: threading.Event) -> None:
    """As an open page does: again and again, the first time after some seconds."""
    wait = first
    while not over.wait(wait):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", path)
        connection.getresponse().read()
        connection.close()
        wait = REFRESH_SECONDS


if __name__ == "__main__":
    main()
