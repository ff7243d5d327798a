"""Real purchases through the whole of it: each credited once and to the cent, whatever is killed meanwhile."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import simplejson
from bson import Decimal128

PURCHASES, SUM = 6919, "244091.94"
KILLS, PAUSE_SECONDS = 8, 0.3


@pytest.fixture(scope="module")
def fresh(make_place: Any) -> Iterator[Any]:
    """An `up` on a database of its own, in which balances are counted."""
    with make_place().up() as running:
        yield running


def total(place: Any) -> str:
    verified = place.run("ledger", "verify", "--json")
    assert verified.code == 0, repr(verified)
    assert verified.json["ok"] is True
    return str(verified.json["total"])


def test_a_file_of_purchases_is_credited_once_however_often_it_is_submitted(fresh: Any, purchases: Path) -> None:
    place = fresh.place
    first = place.run("submit", "--file", str(purchases), "--wait", "--json")
    assert first.code == 0, repr(first)
    assert (first.json["accepted"], first.json["states"]) == (PURCHASES, {"done": PURCHASES})
    assert len(set(first.json["ids"])) == PURCHASES
    assert total(place) == SUM
    again = place.run("submit", "--file", str(purchases))
    assert (again.code, again.out.strip()) == (0, f"0 accepted, {PURCHASES} accepted before"), repr(again)
    assert total(place) == SUM
    assert place.run("stats", "--json").json["deposit"] == {"done": PURCHASES + 1}  # and that of `up` itself
    with place.database() as database:
        credited = sum(account["value"].to_decimal() for account in database["Bank"].find())
        assert credited == Decimal(SUM)


def test_the_sum_is_the_same_with_workers_killed_all_the_while(make_place: Any, purchases: Path) -> None:
    with make_place().up() as running:
        place = running.place
        submitted = place.run("submit", "--file", str(purchases))
        assert submitted.code == 0, repr(submitted)
        killed = kill_workers(place)
        print(f"{killed} workers killed")
        assert killed >= 5
        place.wait_until(lambda: pause(place) or unfinished(place) == 0, 80, f"all have ended\n{running}")
        assert total(place) == SUM
        assert place.run("stats", "--json").json["deposit"] == {"done": PURCHASES + 1}
        deaths = [event for event in running.events("worker.died") if event["ending"] == "killed by SIGKILL"]
        assert len(deaths) == killed


def kill_workers(place: Any) -> int:
    """Kill one worker after the other while there is work, so many times at most; how many were killed."""
    killed: set[int] = set()
    while len(killed) < KILLS and unfinished(place):
        pids = {worker["pid"] for worker in place.ask("GET", "/api/workers")[1]["data"]["workers"]} - killed
        if pids:
            pid = random.choice(sorted(pids))
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
        pause(place)
    return len(killed)


def pause(place: Any) -> None:
    """Let a moment pass, so that asking how far it is does not slow it down."""
    until = time.monotonic() + PAUSE_SECONDS
    place.wait_until(lambda: time.monotonic() >= until)


def unfinished(place: Any) -> int:
    counts = place.ask("GET", "/api/stats")[1]["data"]["types"]["deposit"]
    return sum(count for state, count in counts.items() if state in ("queued", "running"))


def test_one_tenth_deposited_ten_times_is_exactly_one(running: Any) -> None:
    place = running.place
    answers = [place.ask("POST", "/api/data/", b'{"username": "tenths", "value": 0.1}') for _ in range(10)]
    for _, body in answers:
        until_done(place, body["data"]["transaction_id"])
    with place.database() as database:
        account = database["Bank"].find_one({"_id": "tenths"})
        assert isinstance(account["value"], Decimal128)
        assert account["value"].to_decimal() == 1
        assert [entry["value"] for entry in database["Ledger"].find({"username": "tenths"})] == [Decimal128("0.1")] * 10
    assert Decimal(place.run("ledger", "balance", "tenths").out) == 1


@pytest.mark.parametrize("sent", ["150.0", "150", "0.1", "-7.25", "1e3", "0", "123456789012345.123456789012345678"])
def test_a_number_comes_back_as_it_was_sent(running: Any, sent: str) -> None:
    place = running.place
    body = b'{"username": "exact", "value": ' + sent.encode() + b"}"
    status, answer = place.ask("POST", "/api/data/", body, Accept="raw")
    assert status == 200, answer
    accepted = read(answer)
    until_done(place, accepted["transaction_id"])
    stored = read(place.ask("GET", f"/api/data/{accepted['transaction_id']}", Accept="raw")[1])["data"]
    assert accepted["value"] == stored["value"] == Decimal(sent)
    assert type(accepted["value"]) is type(stored["value"]) is type(simplejson.loads(sent, use_decimal=True))


def read(answer: bytes) -> dict[str, Any]:
    return dict(simplejson.loads(answer, use_decimal=True)["data"])


def until_done(place: Any, transaction: str) -> None:
    told = place.ask("GET", f"/api/data/{transaction}?wait=20")[1]["data"]
    assert told["state"] == "done", told
