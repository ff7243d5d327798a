"""The gate: a few work at once, slow readers cost nobody a slot, and the question whether it is alive passes freely."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from transqueue.api.gate import Gate, lent


class Visits:
    """An application that holds each request until it is let go, and knows who is inside."""

    def __init__(self) -> None:
        self.inside: list[str] = []
        self.let_go = threading.Event()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/slow":
            with lent(environ):
                self._stay(path)
        elif path == "/stay":
            self._stay(path)
        elif path == "/fail":
            raise RuntimeError("boom")
        start_response("200 OK", [])
        return [b"{}"]

    def _stay(self, path: str) -> None:
        self.inside.append(path)
        self.let_go.wait(20)


@pytest.fixture
def visits() -> Iterable[Visits]:
    visits = Visits()
    yield visits
    visits.let_go.set()


def ask(gate: Gate, path: str) -> tuple[str, Any]:
    statuses: list[str] = []
    environ = {"PATH_INFO": path, "REQUEST_METHOD": "GET"}
    body = b"".join(gate(environ, lambda status, headers, *rest: statuses.append(status)))
    return statuses[0][:3], json.loads(body)


def start(gate: Gate, path: str, count: int) -> None:
    for _ in range(count):
        threading.Thread(target=ask, args=[gate, path], daemon=True).start()


def test_no_more_requests_than_slots_are_worked_on(visits: Visits, wait_until: Callable[..., Any]) -> None:
    gate = Gate(visits, slots=2, readers=8, wait_seconds=0.05)
    start(gate, "/stay", 2)
    wait_until(lambda: len(visits.inside) == 2)
    status, body = ask(gate, "/quick")
    assert (status, body["code"]) == ("503", "busy")
    visits.let_go.set()
    wait_until(lambda: ask(gate, "/quick")[0] == "200")


def test_whether_it_is_alive_is_answered_without_a_slot(visits: Visits, wait_until: Callable[..., Any]) -> None:
    gate = Gate(visits, slots=1, readers=8, wait_seconds=0.05)
    start(gate, "/stay", 1)
    wait_until(lambda: visits.inside)
    assert ask(gate, "/healthz")[0] == "200"


def test_a_slow_reader_holds_no_slot(visits: Visits, wait_until: Callable[..., Any]) -> None:
    gate = Gate(visits, slots=1, readers=8, wait_seconds=0.05)
    start(gate, "/slow", 5)
    wait_until(lambda: len(visits.inside) == 5)
    assert ask(gate, "/quick")[0] == "200"


def test_no_more_than_so_many_read_at_once(visits: Visits, wait_until: Callable[..., Any]) -> None:
    gate = Gate(visits, slots=4, readers=2, wait_seconds=0.05)
    start(gate, "/slow", 2)
    wait_until(lambda: len(visits.inside) == 2)
    assert ask(gate, "/slow")[0] == "503"
    assert ask(gate, "/quick")[0] == "200"


def test_a_failure_gives_its_slot_back(visits: Visits) -> None:
    gate = Gate(visits, slots=1, readers=8, wait_seconds=0.05)
    for _ in range(3):
        with pytest.raises(RuntimeError):
            ask(gate, "/fail")
    assert ask(gate, "/quick")[0] == "200"


def test_a_reader_that_finds_no_slot_afterwards_gives_none_back(visits: Visits, wait_until: Callable[..., Any]) -> None:
    gate = Gate(visits, slots=1, readers=8, wait_seconds=0.05)
    seen: list[str] = []
    reader = threading.Thread(target=lambda: seen.append(ask(gate, "/slow")[0]), daemon=True)
    reader.start()
    wait_until(lambda: visits.inside)
    taken = gate._slots.take(5)
    visits.let_go.set()
    reader.join(10)
    assert taken
    assert seen == ["503"]
    assert not gate._slots.take(), "the reader gave back what it did not have"
    gate._slots.give_back()
    assert ask(gate, "/quick")[0] == "200"


def test_a_head_request_is_refused_without_a_body(visits: Visits) -> None:
    told: list[Any] = []
    gate = Gate(visits, slots=0, readers=0, wait_seconds=0.01)
    environ = {"PATH_INFO": "/quick", "REQUEST_METHOD": "HEAD"}
    assert list(gate(environ, lambda status, headers: told.extend([status, dict(headers)]))) == []
    status, headers = told
    assert status == "503 Service Unavailable"
    assert (headers["Retry-After"], int(headers["Content-Length"]) > 0) == ("1", True)
