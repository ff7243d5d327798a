"""Reload without restart, under load: the new set is up before the old one drains, or the old one goes on.

Each deposit is sent once, without a retry, so a connection that was dropped by the change would be found; each handler
writes down its attempts, so one that was made twice would be too.
"""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3

PROBE = """
import os, pathlib, time

def process(transaction):
    time.sleep(0.02)
    with open(pathlib.Path(__file__).parent / "attempts", "a") as file:
        file.write(transaction["transaction_id"] + " " + str(os.getpid()) + "\\n")
    return {"pid": os.getpid()}
"""


class Load:
    """Deposits through the door, one after the other, each on a connection of its own."""

    def __init__(self, place: Any) -> None:
        self._place, self._over = place, threading.Event()
        self.ids: list[str] = []
        self.troubles: list[str] = []
        self._thread = threading.Thread(target=self._send)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _send(self) -> None:
        while not self._over.wait(0.01):
            try:
                status, body = self._place.ask(
                    "POST", "/api/data/", {"username": "ann", "value": 1}, Connection="close"
                )
                if status == 200:
                    self.ids.append(body["data"]["transaction_id"])
                else:
                    self.troubles.append(f"{status} {body}")
            except (urllib3.exceptions.HTTPError, ValueError) as error:
                self.troubles.append(repr(error))


@pytest.fixture(scope="module")
def reloaded(make_place: Any) -> Iterator[Any]:
    """An `up` with one worker, and a module that writes its attempts down."""
    place = make_place()
    (place.folder / "probe_module.py").write_text(PROBE)
    place.change('transaction_module: ""', "transaction_module: probe_module")
    place.change("processes: 2", "processes: 1")
    with place.up() as running:
        yield running


def pids(place: Any) -> set[int]:
    return {worker["pid"] for worker in place.ask("GET", "/api/workers")[1]["data"]["workers"]}


def attempts(place: Any) -> Counter[str]:
    return Counter(line.split()[0] for line in (place.folder / "attempts").read_text().splitlines())


@pytest.mark.timeout(300)
def test_nothing_is_lost_or_attempted_twice_while_the_set_changes_under_load(reloaded: Any, wait_until: Any) -> None:
    place, old = reloaded.place, pids(reloaded.place)
    place.change("from 1 to 512.\n  processes: 1", "from 1 to 512.\n  processes: 2")
    with Load(place) as load:
        wait_until(lambda: len(load.ids) > 10, 60, "deposits are accepted")
        done = place.run("reload", "--json")
        assert done.code == 0, done
        sent = len(load.ids)
        wait_until(lambda: len(load.ids) > sent + 10, 60, "deposits are accepted afterwards")
    assert load.troubles == []
    wait_until(lambda: pids(place).isdisjoint(old) and len(pids(place)) == 2, 60, "the new set has taken over")
    wait_until(lambda: len(attempts(place)) >= len(load.ids), 60, "each was attempted")
    made = attempts(place)
    assert {one: made[one] for one in load.ids if made[one] != 1} == {}
    assert [(part["role"], part["well"]) for part in done.json["parts"]] == [("up", True)]
    assert len(reloaded.events("reload.done")) == 1


@pytest.mark.timeout(300)
def test_a_bad_file_and_a_module_that_breaks_leave_the_old_set_running_and_are_told(
    reloaded: Any, wait_until: Any
) -> None:
    place, old = reloaded.place, pids(reloaded.place)
    good = place.config.read_text()
    place.change("processes: 2", "processes: 0")
    assert place.run("reload").code == 2
    reloaded.process.send_signal(signal.SIGHUP)
    wait_until(lambda: len(reloaded.events("reload.refused")) == 1, 60, "the first refusal is told")
    assert "workers.processes: must be from 1 to 512" in reloaded.events("reload.refused")[-1]["reason"]
    place.config.write_text(good)
    place.change("threads: 32", "threads: 31")
    fixed = place.run("reload")
    assert (fixed.code, "api.threads cannot change" in fixed.out) == (1, True), fixed
    place.config.write_text(good)
    module = place.folder / "probe_module.py"
    module.write_text("raise RuntimeError('it breaks at boot')")
    reloaded.process.send_signal(signal.SIGHUP)
    wait_until(lambda: len(reloaded.events("reload.refused")) == 3, 60, "the third refusal is told")
    assert "it breaks at boot" in reloaded.events("reload.refused")[-1]["reason"]
    module.write_text(PROBE)
    with place.database() as database:
        (part,) = database["Parts"].find({"role": "up"})
        assert (part["reload"]["well"], "it breaks at boot" in part["reload"]["message"]) == (False, True)
    assert pids(place) == old
    status, body = place.ask("POST", "/api/data/", {"username": "ann", "value": 1})
    assert status == 200
    assert place.ask("GET", f"/api/data/{body['data']['transaction_id']}?wait=20")[1]["data"]["state"] == "done"
    shown = place.ask("GET", "/api/plugins")[1]["data"]["parts"]
    assert [(one["role"], one["reload"]["well"]) for one in shown] == [("up", False)]


@pytest.mark.timeout(300)
def test_api_and_work_of_hosts_that_share_a_database_reload_too(
    make_place: Any, mongo_uri: str, mongo_database: str, wait_until: Any
) -> None:
    place = make_place(uri=mongo_uri, database=mongo_database)
    place.change("processes: 2", "processes: 1")
    with place.start("work") as work, place.start("api") as api:
        wait_until(place.accepts, 60, "the API is ready")
        wait_until(lambda: len(pids(place)) == 1, 60, "the worker is ready")
        old = pids(place)
        place.change("    enabled: true\n    config: {}\n    handlers: {}\n\n# Which", "    enabled: false\n\n# Which")
        done = place.run("reload", "--json")
        assert done.code == 0, (done, work, api)
        assert sorted((part["role"], part["well"]) for part in done.json["parts"]) == [("api", True), ("work", True)]
        assert "greet" not in {one["type"] for one in place.ask("GET", "/api/types")[1]["data"]["types"]}
        wait_until(lambda: len(pids(place)) == 1 and pids(place) != old, 60, "the new worker has taken over")
        (worker,) = place.ask("GET", "/api/workers")[1]["data"]["workers"]
        assert "greet" not in worker["types"]
        assert work.interrupt() == 0, work
        assert api.interrupt() == 0, api
    assert place.run("reload").code == 3
