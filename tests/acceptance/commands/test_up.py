"""`transqueue up`: everything on this machine, from one command to Ctrl-C, and past the deaths of its processes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import socket
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import psutil
import pytest
import urllib3

DEPOSIT = re.compile(r"deposit +(\d{21}) is done after (\d+) ms")


@pytest.fixture(scope="module")
def battered(make_place: Any) -> Iterator[Any]:
    """An `up` whose processes are killed, but for itself."""
    with make_place().up() as running:
        yield running


def deposit(place: Any, username: str, value: float) -> str:
    status, body = place.ask("POST", "/api/data/", {"username": username, "value": value})
    assert status == 200, body
    return str(body["data"]["transaction_id"])


def state_of(place: Any, transaction: str) -> str:
    return str(place.ask("GET", f"/api/data/{transaction}?wait=20")[1]["data"]["state"])


def test_up_says_where_things_are_and_shows_a_deposit_of_its_own(running: Any) -> None:
    place, said = running.place, running.out
    told = DEPOSIT.search(said)
    assert told, said
    assert state_of(place, told[1]) == "done"
    assert f"{place.url}/api/data/" in said
    assert re.search(r"workers +2\n", said)
    assert re.search(r"plugins +ledger, greet\n", said)
    assert f"private, in {place.folder / '.transqueue'}" in said
    assert "not for production" in said


def test_the_curl_that_up_shows_makes_a_deposit(running: Any) -> None:
    line = next(line for line in running.out.splitlines() if line.strip().startswith("curl"))
    _, _, url, _, header, _, body = shlex.split(line)
    name, _, value = header.partition(": ")
    answer = urllib3.request("POST", url, headers={name: value}, body=body)
    assert answer.json()["message"] == "Data received for user user123"


def test_it_starts_one_mongod_the_door_and_two_workers(running: Any) -> None:
    names = [process.name() for process in running.family()]
    assert names.count("mongod") == 1
    workers = running.place.ask("GET", "/api/workers")[1]["data"]["workers"]
    assert {worker["pid"] for worker in workers} <= {process.pid for process in running.family()}
    assert len(workers) == 2


def test_ctrl_c_leaves_no_process_behind_and_keeps_the_data_for_the_next_start(place: Any) -> None:
    with place.up() as first:
        transaction = deposit(place, "ann", 5)
        assert state_of(place, transaction) == "done"
        waiting = place.ask(
            "POST",
            "/api/data/",
            {"type": "greet", "data": {"name": "Ada"}, "options": {"delay_seconds": 3600}},
        )[1]["data"]["transaction_id"]
        assert first.interrupt() == 0, repr(first)
        assert first.out.rstrip().endswith("Stopped. Everything accepted is kept.")
        assert "Traceback" not in first.err
        place.wait_until(lambda: not first.left(), 30, f"no process is left: {first.left()}")
    began = time.monotonic()
    with place.up() as second:
        print(f"ready, with its first deposit done, after {time.monotonic() - began:.1f} s")
        assert state_of(place, transaction) == "done"
        assert place.ask("GET", f"/api/data/{waiting}")[1]["data"]["state"] == "queued"
        assert place.run("ledger", "balance", "ann").out.strip() == "5"
        assert second.interrupt() == 0


def test_ctrl_c_while_it_starts_ends_it_quietly(place: Any) -> None:
    with place.start("up") as starting:
        starting.until_said("Starting TransQueue")
        place.wait_until(starting.family, 10, "it has started a process")
        assert starting.interrupt() == 0, repr(starting)
        assert "Traceback" not in starting.err
        place.wait_until(lambda: not starting.left(), 30, f"no process is left: {starting.left()}")


def test_when_up_is_killed_its_processes_are_gone_too(place: Any) -> None:
    with place.up() as running:
        assert {"mongod"} <= {process.name() for process in running.family()}
        running.process.kill()
        place.wait_until(lambda: not running.left(), 20, "no process is left")


def test_a_second_up_in_the_same_folder_names_the_first(running: Any) -> None:
    began = time.monotonic()
    second = running.place.run("up")
    assert second.code == 3, repr(second)
    assert f"in use by the mongod of process {running.process.pid} " in second.err
    assert "Ctrl-C where `transqueue up` runs" in second.err
    assert "Traceback" not in second.err
    assert time.monotonic() - began < 45
    assert running.place.accepts()


def test_a_taken_port_is_told_with_the_cure(place: Any) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", place.port))
        other.listen()
        with place.start("up") as refused:
            refused.family()
            assert refused.process.wait(30) == 3, repr(refused)
            assert f"Cannot listen on 127.0.0.1:{place.port}: Address already in use" in refused.err
            assert "set api.port" in refused.err
            assert "Traceback" not in refused.err
    assert not (place.folder / ".transqueue" / "mongod" / "mongod.lock").read_text().strip()  # mongod ended well


def test_after_mongod_is_killed_the_door_accepts_again_and_nothing_accepted_is_lost(battered: Any) -> None:
    place = battered.place
    with Depositor(place, "bob") as depositor:
        place.wait_until(lambda: len(depositor.accepted) >= 20, 20, "20 deposits are accepted")
        (mongod,) = [process for process in battered.family() if process.name() == "mongod"]
        mongod.kill()
        place.wait_until(lambda: battered.events("mongod.died"), 10, f"its death is noticed\n{battered}")
        reached = len(depositor.accepted)
        place.wait_until(
            lambda: len(depositor.accepted) >= reached + 20, 40, f"deposits are accepted again\n{battered}"
        )
    assert {state_of(place, transaction) for transaction in depositor.accepted} == {"done"}
    assert len(set(depositor.accepted)) == len(depositor.accepted)
    assert Decimal(place.run("ledger", "balance", "bob").out) == len(depositor.accepted)
    assert place.run("ledger", "verify").code == 0


@pytest.mark.parametrize("process", ["behind", "front"])
def test_after_a_process_of_the_api_is_killed_it_comes_back(battered: Any, process: str) -> None:
    place = battered.place
    place.wait_until(place.accepts, 20, "the door accepts")
    front, behind = door_of(battered)
    (behind if process == "behind" else front).kill()
    place.wait_until(lambda: not place.accepts(), 30, "the door is shut")
    place.wait_until(place.accepts, 30, f"the door accepts again\n{battered}")
    assert state_of(place, deposit(place, "cora", 1)) == "done"
    place.wait_until(lambda: not psutil.pid_exists(behind.pid), 30, "nothing of the old door is left")


def test_a_killed_worker_is_replaced(battered: Any) -> None:
    place = battered.place
    before = worker_pids(place)
    assert len(before) == 2
    os.kill(min(before), signal.SIGKILL)
    place.wait_until(
        lambda: len(worker_pids(place)) == 2 and worker_pids(place) != before, 30, f"a new one\n{battered}"
    )


class Depositor:
    """Deposits 1 after the other, each with a key under which it is repeated until it is accepted."""

    def __init__(self, place: Any, username: str) -> None:
        self._place, self._username = place, username
        self.accepted: list[str] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._deposit_all)

    def __enter__(self) -> Depositor:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _deposit_all(self) -> None:
        while not self._ending.is_set():
            key = f"{self._username}-{len(self.accepted)}"
            with contextlib.suppress(urllib3.exceptions.HTTPError):
                while not self._deposit(key):
                    self._ending.wait(0.05)

    def _deposit(self, key: str) -> bool:
        body = {"username": self._username, "value": 1}
        status, told = self._place.ask("POST", "/api/data/", body, Idempotency_Key=key)
        assert status in (200, 503), told
        if status == 200:
            self.accepted.append(told["data"]["transaction_id"])
        return bool(status == 200)


def worker_pids(place: Any) -> set[int]:
    return {worker["pid"] for worker in place.ask("GET", "/api/workers")[1]["data"]["workers"]}


def door_of(running: Any) -> tuple[psutil.Process, psutil.Process]:
    """The front process of the API, and the one behind it, which answers."""
    workers = worker_pids(running.place)
    for front in psutil.Process(running.process.pid).children():
        behind = [child for child in front.children() if "resource_tracker" not in " ".join(child.cmdline())]
        if front.pid not in workers and behind:
            return front, behind[0]
    raise AssertionError(f"no door among {json.dumps([str(process) for process in running.family()])}")
