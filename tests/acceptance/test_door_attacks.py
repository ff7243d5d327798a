"""The real door, in its own processes, against clients that mean harm, and against its own processes' deaths."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

THREADS = 8
HEADER_SECONDS = 2

DOOR = f"""
import os, sys
from collections.abc import Mapping

from transqueue import Handler
from transqueue.process import lifeline
from transqueue.api import server
from transqueue.api.app import create_app
from transqueue.api.server import serve
from transqueue.clock import HostClock
from transqueue.config import ApiConfig, Config
from transqueue.errors import TransQueueError
from transqueue.events import Events
from transqueue.testing import MemoryQueue


def deposit(transaction, context):
    pass


class Claims:
    handlers = {{"deposit": Handler(type="deposit", target=deposit, plugin="ledger", version="1")}}

    def resolve(self, type):
        return self.handlers.get(type)

    def types(self):
        return self.handlers

    def parked(self, type):
        return None

    def vetters(self):
        return ()

    def states(self):
        return []


def load(before, number):
    config = Config(api=ApiConfig(threads={THREADS}))
    return create_app(queue=MemoryQueue(), table=Claims(), config=config, clock=HostClock(), events=Events())


def refuse(before, number):
    raise TransQueueError("The database is not there.")


if __name__ == "__main__":
    lifeline.die_with_parent(int(sys.argv[1]))
    server.HEADER_SECONDS = {HEADER_SECONDS}
    try:
        serve(ApiConfig(port=int(sys.argv[2]), threads={THREADS}), globals()[sys.argv[3]], events=Events())
    except TransQueueError as error:
        sys.exit(f"refused: {{error}}")
"""

ANN = b'{"username": "ann", "value": 5}'
POST = b"POST /api/data/ HTTP/1.1\r\nHost: door\r\nContent-Type: application/json\r\n"


class Door:
    """One running door: its front process, and the port that it listens on."""

    def __init__(self, script: Path, port: int, loader: str = "load") -> None:
        self.port = port
        arguments = [sys.executable, str(script), str(os.getpid()), str(port), loader]
        self.front = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def alive(self) -> bool:
        try:
            return self.ask("GET", "/healthz")[0] == 200
        except OSError:
            return False

    def open_or_ended(self) -> bool:
        return self.alive() or self.front.poll() is not None

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def open(self, sent: bytes) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        connection.sendall(sent)
        return connection

    def say(self, sent: bytes, *, hang_up: bool = False) -> bytes:
        """Everything that comes back until the door closes the connection."""
        with self.open(sent) as connection:
            if hang_up:
                connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def stored(self) -> int:
        return int(self.ask("GET", "/api/stats")[1]["data"]["types"].get("deposit", {}).get("queued", 0))

    def processes(self) -> list[psutil.Process]:
        front = psutil.Process(self.front.pid)
        return [front, *front.children(recursive=True)]

    def worker(self) -> psutil.Process:
        """The process that answers requests: the one with a listening socket of its own."""
        return next(one for one in self.processes()[1:] if _listens(one, self.port))

    def ends(self) -> tuple[int, str]:
        """The exit code and what was said on stderr."""
        _, said = self.front.communicate(timeout=15)
        return self.front.returncode, said

    def stop(self) -> None:
        self.front.kill()
        self.front.communicate(timeout=15)


def _listens(process: psutil.Process, port: int) -> bool:
    try:
        found = process.net_connections("tcp")
    except psutil.Error:
        return False
    return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in found)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("door") / "door.py"
    path.write_text(DOOR)
    return path


@pytest.fixture
def open_door(script: Path, wait_until: Callable[..., Any]) -> Iterator[Callable[[], Door]]:
    with ExitStack() as doors:

        def start() -> Door:
            door = Door(script, free_port())
            doors.callback(door.stop)
            wait_until(door.open_or_ended, timeout=30, message="the door opens")
            assert door.alive(), door.ends()
            return door

        yield start


@pytest.fixture(scope="module")
def door(script: Path, wait_until: Callable[..., Any]) -> Iterator[Door]:
    door = Door(script, free_port())
    try:
        wait_until(door.open_or_ended, timeout=30, message="the door opens")
        assert door.alive(), door.ends()
        yield door
    finally:
        door.stop()


def test_half_open_connections_and_slow_bodies_keep_nobody_out(door: Door) -> None:
    with ExitStack() as attack:
        for _ in range(40):
            attack.enter_context(door.open(b"POST /api/da"))
            attack.enter_context(door.open(POST + b"Content-Length: 500\r\n\r\n" + ANN[:10]))
        times = []
        for _ in range(50):
            for method, path, body in [("GET", "/healthz", None), ("POST", "/api/data/", ANN)]:
                started = time.monotonic()
                assert door.ask(method, path, body)[0] == 200
                times.append(time.monotonic() - started)
    times.sort()
    print(f"under attack: p50 {times[50] * 1000:.1f} ms, p99 {times[-2] * 1000:.1f} ms, max {times[-1] * 1000:.1f} ms")
    assert times[-1] < 5


def test_those_who_wait_do_not_delay_the_question_whether_the_door_is_alive(door: Door) -> None:
    identity = door.ask("POST", "/api/data/", ANN)[1]["data"]["transaction_id"]
    waiting = [threading.Thread(target=door.ask, args=["GET", f"/api/data/{identity}?wait=20"]) for _ in range(40)]
    for thread in waiting:
        thread.start()
    started = time.monotonic()
    assert door.alive()
    assert door.ask("GET", f"/api/data/{identity}")[0] == 200
    assert time.monotonic() - started < 5
    assert door.ask("POST", f"/api/data/{identity}/cancel")[0] == 200
    for thread in waiting:
        thread.join(10)
    assert not any(thread.is_alive() for thread in waiting)


def test_half_open_and_idle_connections_are_closed(door: Door) -> None:
    for sent in (b"", b"POST /api/da", b"GET /healthz HTTP/1.1\r\nHost: door\r\n\r\n"):
        started = time.monotonic()
        door.say(sent)
        assert time.monotonic() - started < HEADER_SECONDS + 10


SMUGGLED = b"0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: door\r\n\r\n"
CUT_SHORT = {
    "chunked": (b"Transfer-Encoding: chunked\r\n\r\n1f\r\n" + ANN[:5], 411),
    "shorter than announced": (b"Content-Length: 32\r\n\r\n" + ANN, 400),
    "empty though announced": (b"Content-Length: 31\r\n\r\n", 400),
}
ATTACKS = {
    "chunked": (b"Transfer-Encoding: chunked\r\n\r\n1f\r\n" + ANN + b"\r\n0\r\n\r\n", 411),
    "chunked by another spelling": (b"Transfer_Encoding: chunked\r\nContent-Length: 31\r\n\r\n" + ANN, 411),
    "a length and chunked": (b"Content-Length: 31\r\nTransfer-Encoding: chunked\r\n\r\n" + SMUGGLED, 411),
    "a transfer encoding of no kind": (b"Transfer-Encoding: identity\r\nContent-Length: 31\r\n\r\n" + ANN, 400),
    "no length": (b"\r\n", 411),
    "larger than allowed": (b"Content-Length: 5000000\r\n\r\n" + ANN, 413),
    "two lengths": (b"Content-Length: 31\r\nContent-Length: 30\r\n\r\n" + ANN, 400),
    "a list of lengths": (b"Content-Length: 31, 31\r\n\r\n" + ANN, 400),
    "a negative length": (b"Content-Length: -31\r\n\r\n" + ANN, 400),
    "a length beyond 64 bits": (b"Content-Length: 99999999999999999999999\r\n\r\n" + ANN, 400),
    "gzip": (b"Content-Encoding: gzip\r\nContent-Length: 31\r\n\r\n" + ANN, 415),
    "a second media type": (b"Content-Type: text/plain\r\nContent-Length: 31\r\n\r\n" + ANN, 200),
    "a key in Latin-1": (b"Idempotency-Key: \xe9\r\nContent-Length: 31\r\n\r\n" + ANN, 400),
}


@pytest.mark.parametrize(("rest", "status"), ATTACKS.values(), ids=ATTACKS)
def test_what_is_sent_wrongly_is_refused_and_the_door_stays_open(door: Door, rest: bytes, status: int) -> None:
    before = door.stored()
    answer = door.say(POST + b"Connection: close\r\n" + rest)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert door.stored() - before == (status == 200)


@pytest.mark.parametrize(("rest", "status"), CUT_SHORT.values(), ids=CUT_SHORT)
def test_a_body_cut_short_is_refused_and_nothing_is_stored(door: Door, rest: bytes, status: int) -> None:
    before = door.stored()
    answer = door.say(POST + b"Connection: close\r\n" + rest, hang_up=True)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert door.stored() == before


def test_a_header_of_a_megabyte_is_not_taken(door: Door) -> None:
    with contextlib.suppress(ConnectionError):  # it is closed while still being sent
        assert b" 200 " not in door.say(POST + b"X: " + b"x" * 1_000_000 + b"\r\nContent-Length: 31\r\n\r\n" + ANN)
    assert door.alive()


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET /%00/%ff/../%2e%2e/?x=%zz%ff HTTP/1.1\r\nHost: door", 404),
        (b"GET /api/data/?after=%00%ff HTTP/1.1\r\nHost: door", 400),
        (b"GET /api/data/%F0%9F%98%80 HTTP/1.1\r\nHost: a b\xff", 404),
        (b"GET http://elsewhere/healthz HTTP/1.1\r\nHost: door", 200),
        (b"OPTIONS * HTTP/1.1\r\nHost: door", 404),
        (b"BREW /api/data/ HTTP/1.1\r\nHost: door", 405),
        (b"GET /healthz HTTP/1.0", 200),
        (b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: door", 414),
        (b"\x16\x03\x01\x02", 400),
    ],
)
def test_no_address_makes_the_door_fail(door: Door, request_line: bytes, status: int) -> None:
    answer = door.say(request_line + b"\r\nConnection: close\r\n\r\n")
    assert answer.startswith((b"HTTP/1.1 %d " % status, b"HTTP/1.0 %d " % status))


# The door's own processes


def test_nothing_outlives_a_front_process_that_is_killed(
    open_door: Callable[[], Door], wait_until: Callable[..., Any]
) -> None:
    door = open_door()
    processes = door.processes()
    assert len(processes) >= 2
    door.front.kill()
    door.front.wait(5)
    wait_until(lambda: not any(_runs(one) for one in processes), timeout=3, message="all processes are gone")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_closes_the_door_well_though_somebody_waits(
    open_door: Callable[[], Door], number: signal.Signals, wait_until: Callable[..., Any]
) -> None:
    door = open_door()
    processes = door.processes()
    identity = door.ask("POST", "/api/data/", ANN)[1]["data"]["transaction_id"]
    with door.open(f"GET /api/data/{identity}?wait=25 HTTP/1.1\r\nHost: door\r\n\r\n".encode()):
        started = time.monotonic()
        door.front.send_signal(number)
        code, said = door.ends()
    assert (code, said) == (0, "")
    assert time.monotonic() - started < 20  # of the 25 that somebody waits for
    wait_until(lambda: not any(_runs(one) for one in processes), timeout=3, message="all processes are gone")


def test_a_ctrl_c_that_reaches_every_process_is_no_failure(open_door: Callable[[], Door]) -> None:
    door = open_door()
    worker = door.worker()
    door.front.send_signal(signal.SIGINT)
    worker.send_signal(signal.SIGINT)
    assert door.ends()[0] == 0


def test_a_door_whose_answering_process_dies_ends_and_says_so(open_door: Callable[[], Door]) -> None:
    door = open_door()
    door.worker().kill()
    code, said = door.ends()
    assert code == 1
    assert "refused: The process that answers requests ended by itself" in said


def test_a_port_in_use_is_told_with_the_cure(door: Door, script: Path) -> None:
    second = Door(script, door.port)
    try:
        code, said = second.ends()
    finally:
        second.stop()
    assert code == 1
    assert f"refused: Cannot listen on 127.0.0.1:{door.port}: Address already in use" in said
    assert "api.port" in said
    assert "Traceback" not in said


def test_what_keeps_the_application_from_loading_is_told_in_words(script: Path) -> None:
    door = Door(script, free_port(), loader="refuse")
    try:
        code, said = door.ends()
    finally:
        door.stop()
    assert code == 1
    assert said.startswith("The database is not there.\n")
    assert "Traceback" not in said


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
