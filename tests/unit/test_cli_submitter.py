"""`submit`'s side of the door: batches, repeats, and what it makes of each answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import urllib3
from rich.progress import Progress

from transqueue.cli import submitter
from transqueue.cli.submitter import BATCH_BYTES, BATCH_LINES, Line, Submitter, Tally
from transqueue.errors import QueueUnavailable

Answer = Callable[[str, list[Any]], tuple[int, Any]]


class Door(ThreadingHTTPServer):
    """Answers as a test tells it to, and keeps what was sent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.requests: list[tuple[str, list[Any]]] = []
        self.answer: Answer = accepts


class _Request(BaseHTTPRequestHandler):
    server: Door

    def do_POST(self) -> None:
        lines = self.rfile.read(int(self.headers["Content-Length"])).splitlines()
        self._tell([json.loads(line) for line in lines])

    def do_GET(self) -> None:
        self._tell([])

    def _tell(self, lines: list[Any]) -> None:
        self.server.requests.append((self.path, lines))
        status, body = self.server.answer(self.path, lines)
        sent = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, *_: Any) -> None: ...


def accepts(path: str, lines: list[Any]) -> tuple[int, Any]:
    results = [{"status": "success", "data": {"transaction_id": line["idempotency_key"]}} for line in lines]
    return 200, {"status": "success", "data": {"results": results}}


@pytest.fixture
def door() -> Iterator[Door]:
    with Door() as door:
        thread = threading.Thread(target=door.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield door
        door.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeats wait for nothing."""
    hasty = urllib3.Retry(total=4, status_forcelist=[429, 503], allowed_methods=None, backoff_factor=0)
    monkeypatch.setattr(submitter, "FIRST_MEETING", hasty)
    monkeypatch.setattr(submitter, "LATER", hasty)


def lines(count: int, **more: Any) -> list[Line]:
    return [Line(number, {"idempotency_key": f"k-{number}", **more}) for number in range(1, count + 1)]


def sent_to(door: Door, what: list[Line]) -> Tally:
    tally = Tally()
    with Progress(disable=True) as progress:
        Submitter(door.url).submit(what, tally, progress)
    return tally


def test_lines_are_sent_in_order_by_the_hundreds(door: Door) -> None:
    tally = sent_to(door, lines(2 * BATCH_LINES + 1))
    assert [len(sent) for _, sent in door.requests] == [BATCH_LINES, BATCH_LINES, 1]
    assert tally.ids == [f"k-{number}" for number in range(1, 2 * BATCH_LINES + 2)]


def test_long_lines_make_smaller_batches(door: Door) -> None:
    tally = sent_to(door, lines(5, data="x" * (BATCH_BYTES // 2 - 100)))
    assert [len(sent) for _, sent in door.requests] == [2, 2, 1]
    assert len(tally.ids) == 5


def test_replays_and_refusals_are_counted_by_line(door: Door) -> None:
    def mixed(path: str, sent: list[Any]) -> tuple[int, Any]:
        first, second, _ = accepts(path, sent)[1]["data"]["results"]
        refused = {"status": "error", "message": "insufficient"}
        return 200, {"status": "success", "data": {"results": [first, second | {"replayed": True}, refused]}}

    door.answer = mixed
    tally = sent_to(door, lines(3))
    assert (tally.ids, tally.replayed, tally.refused) == (["k-1", "k-2"], 1, [(3, "insufficient")])
    assert tally.summary(waits=False) == ["1 accepted", "1 accepted before", "1 refused"]
    assert tally.told()["refused"] == [{"line": 3, "message": "insufficient"}]


def test_a_batch_that_is_refused_whole_is_refused_line_by_line(door: Door) -> None:
    door.answer = lambda path, sent: (413, {"status": "error", "message": "too large"})
    assert sent_to(door, lines(2)).refused == [(1, "too large"), (2, "too large")]


def test_a_busy_door_is_asked_again_with_the_same(door: Door) -> None:
    busy = iter([503, 429])
    door.answer = lambda path, sent: (next(busy, 200), accepts(path, sent)[1])
    assert sent_to(door, lines(1)).ids == ["k-1"]
    assert door.requests == [door.requests[0]] * 3


@pytest.mark.parametrize(("status", "body"), [(404, {"message": "no"}), (200, "not ours"), (503, {})])
def test_what_is_no_answer_of_the_door_is_unavailable(door: Door, status: int, body: Any) -> None:
    door.answer = lambda path, sent: (status, body)
    with pytest.raises(QueueUnavailable, match=door.url):
        sent_to(door, lines(1))


def test_it_waits_until_each_has_ended(door: Door) -> None:
    states = {"1": iter(["queued", "running", "done"]), "2": iter(["dead"])}

    def told(path: str, _: list[Any]) -> tuple[int, Any]:
        transaction = path.removeprefix("/api/data/").partition("?")[0]
        return 200, {"status": "success", "data": {"state": next(states[transaction])}}

    door.answer = told
    tally = Tally(ids=["1", "2"])
    with Progress(disable=True) as progress:
        Submitter(door.url).wait(tally, progress)
    assert tally.summary(waits=True) == ["2 accepted", "1 dead", "1 done"]
