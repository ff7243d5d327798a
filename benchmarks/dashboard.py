"""How long pages take with much stored, and what looking on costs the door: `python -m benchmarks.dashboard`.

Pages are asked for in this process, so their times are the server's alone, database included; what several who look on
share for two seconds is looked up anew for each. The door is measured in pairs of rounds, with and without three
dashboards that refresh every five seconds and a scrape of /metrics as often; a ratio is taken pair by pair.
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
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
from pymongo import WriteConcern

from transqueue.api.app import create_app
from transqueue.api.window import window
from transqueue.cause import cause_of
from transqueue.config import Config, PluginConfig
from transqueue.dashboard.window import Shared
from transqueue.events import Events
from transqueue.mongodb import MongoQueue, connect
from transqueue.mongodb.documents import encode
from transqueue.mongodb.embedded import PrivateMongod
from transqueue.plugins import load_plugins
from transqueue.transaction import LANES, Transaction, TransactionIds

TYPES = ("deposit", "transfer", "greet")
PAGES = (
    "/ui/",
    "/ui/plots.json?span=24h",
    "/ui/transactions",
    "/ui/transactions?state=done",
    "/ui/transactions?state=dead",
    "/ui/transactions?state=queued&type=deposit",
    "/ui/transactions?type=nothing",
    "/ui/failures",
    "/ui/types",
    "/ui/workers",
    "/ui/plugins",
    "/ui/audit",
    "/ui/system",
    "/metrics",
)
BATCH = 10_000


@click.command()
@click.option("--stored", default=1_000_000, help="How many transactions are stored.")
@click.option("--times", default=30, help="How often each page is asked for.")
@click.option("--pairs", default=0, help="How many pairs of rounds at the door; 0: pages only.")
@click.option("--seconds", default=8.0, help="How long a round at the door takes.")
def main(stored: int, times: int, pairs: int, seconds: float) -> None:
    """Measure pages, and the door with and without those who look on."""
    with tempfile.TemporaryDirectory() as folder:
        mongod = PrivateMongod(Path(folder))
        uri = mongod.start()
        queue = connect(uri, "transqueue")
        began = time.monotonic()
        fill(queue, stored)
        click.echo(f"{stored:,} stored in {time.monotonic() - began:.0f} s; load {os.getloadavg()[0]:.1f}", err=True)
        for page, taken in pages(queue, times):
            print(f"{page:45} {statistics.median(taken):6.1f} ms median {sorted(taken)[-2]:6.1f} ms p95")
        if pairs:
            ratios = list(door(uri, Path(folder), pairs, seconds))
            print(f"door with those who look on: {statistics.median(ratios):.3f} of without, pairs {ratios}")
        queue.close()
        mongod.stop()


def fill(queue: MongoQueue, stored: int) -> None:
    """Store transactions over the last days: most are done, 1 in 50 is queued, 1 in 100 dead of one of 12 causes."""
    q = queue.database["Q"].with_options(write_concern=WriteConcern(1))
    ids, now = TransactionIds(), queue.clock.now()
    documents: list[Any] = []
    for number in range(stored):
        at = now - timedelta(seconds=(stored - number) * 0.5)
        type = TYPES[number % 3]
        data = {"username": f"user{number % 1000}", "value": number}
        given = Transaction(
            id=ids.next(at), type=type, data=data, created_at=at, due_at=at, max_attempts=8, lane=number % LANES
        )
        documents.append(encode(given) | _end(number, type, at))
        if len(documents) == BATCH or number == stored - 1:
            q.insert_many(documents, ordered=False)
            documents = []


def _end(number: int, type: str, at: Any) -> dict[str, Any]:
    if number % 50 == 1:
        return {}
    if number % 100 == 2:
        error = {
            "type": ("KeyError", "ValueError", "TimeoutError", "OSError")[number // 100 % 4],
            "message": "no account",
        }
        return {"state": "dead", "finished_at": at, "error": error, "cause": cause_of(type, error), "attempts": 8}
    return {"state": "done", "finished_at": at, "attempts": 1, "result": {"balance": number}}


def pages(queue: MongoQueue, times: int) -> Iterator[tuple[str, list[float]]]:
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
        client.get(page)
        yield page, [_taken(client, page) for _ in range(times)]


def _taken(client: Any, page: str) -> float:
    began = time.perf_counter()
    answer = client.get(page)
    assert answer.status_code == 200, (page, answer.status_code)
    return (time.perf_counter() - began) * 1000


def door(uri: str, folder: Path, pairs: int, seconds: float) -> Iterator[float]:
    """Accepted per second with those who look on, over without, pair by pair; every second pair backwards."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = {"mongodb": {"uri": uri}, "api": {"port": port}, "plugins": {"ledger": {}, "greet": {}}}
    (folder / "config.yaml").write_text(json.dumps(config))
    command = [str(Path(sys.executable).parent / "transqueue"), "api"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _until_open(port)
        accepted(port, 2.0, looked_at=False)
        for pair in range(pairs):
            order = (False, True) if pair % 2 == 0 else (True, False)
            counts = {looked_at: accepted(port, seconds, looked_at=looked_at) for looked_at in order}
            yield round(counts[True] / counts[False], 3)
    finally:
        process.terminate()
        process.wait(30)


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


def accepted(port: int, seconds: float, *, looked_at: bool) -> float:
    """How many single submissions four clients have accepted per second."""
    over, counts = threading.Event(), [0] * 4
    threads = [threading.Thread(target=_submit, args=(port, over, counts, place)) for place in range(4)]
    if looked_at:
        targets = ["/ui/", "/ui/transactions", "/ui/failures", "/metrics"]
        threads += [threading.Thread(target=_look, args=(port, over, path)) for path in targets]
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


def _look(port: int, over: threading.Event, path: str) -> None:
    while not over.is_set():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", path)
        connection.getresponse().read()
        connection.close()
        over.wait(5)


if __name__ == "__main__":
    main()
