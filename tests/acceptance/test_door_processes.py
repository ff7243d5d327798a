"""Several processes behind one door: they share what comes, one that dies is replaced, none outlives the front one."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import urllib3

from transqueue.access import Scope
from transqueue.access.strangers import BURST

BODY = {"type": "good", "data": {}}


def told(site: Any) -> Mapping[int, Mapping[str, str]]:
    """How each plugin is, by the process that answers requests and tells it."""
    reports = [report for report in site._queue.catalog.reports() if report.role == "api"]
    return {report.pid: {name: one["state"] for name, one in report.plugins.items()} for report in reports}


def until_two(site: Any, old: Collection[int] = ()) -> tuple[int, ...]:
    """Wait until two processes answer that are none of the old ones."""
    site.wait_until(lambda: len(told(site).keys() - set(old)) == 2, timeout=90, message="two processes answer")
    return tuple(told(site).keys() - set(old))


def stands_still(pid: int) -> bool:
    """Whether each thread of a process is stopped: until then one may accept a connection yet."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return all((one / "stat").read_text().rpartition(")")[2].split()[0] == "T" for one in threads)


@contextmanager
def alone(site: Any, pid: int, pids: Collection[int]) -> Iterator[None]:
    """Whatever comes now, this process has to answer."""
    others = [other for other in pids if other != pid]
    for other in others:
        os.kill(other, signal.SIGSTOP)
    try:
        site.wait_until(lambda: all(map(stands_still, others)), timeout=60, message="the others stand still")
        yield
    finally:
        for other in others:
            os.kill(other, signal.SIGCONT)


def show(site: Any, key: str) -> int:
    """The status of a request with this API key, on a connection of its own."""
    with urllib3.PoolManager(timeout=30.0, retries=False) as http:
        found = http.request(
            "GET", f"http://127.0.0.1:{site.port}/api/types", headers={"Authorization": f"Bearer {key}"}
        )
        return int(found.status)


def accepted(site: Any) -> str:
    """What the metrics tell was accepted of the type `good`."""
    with urllib3.PoolManager(timeout=30.0, retries=False) as http:
        text = http.request("GET", f"http://127.0.0.1:{site.port}/metrics").data.decode()
    return next((line for line in text.splitlines() if line.startswith("transqueue_accepted_total")), "")


@pytest.fixture(scope="module")
def served(make_site: Any) -> Iterator[tuple[Any, Any]]:
    """A door of two processes, open."""
    site = make_site()
    site.configure(api={"processes": 2})
    site.good_plugin()
    running = site.start("api")
    try:
        until_two(site)
        site.wait_until(site._is_open, timeout=60, message="the door opens")
        yield site, running
    finally:
        site.close()


def test_each_has_the_plugins_and_what_they_take_is_counted_together(served: Any) -> None:
    site, _ = served
    pids = until_two(site)
    assert [plugins["good"] for plugins in told(site).values()] == ["ok", "ok"]
    for count, pid in enumerate(pids, 1):
        with alone(site, pid, pids):
            assert [site.ask("POST", "/api/data/", BODY)[0] for _ in range(count)] == [200] * count
    site.wait_until(lambda: accepted(site).endswith("} 3.0"), timeout=60, message="three are counted")


def test_one_that_dies_is_replaced_and_the_other_goes_on(served: Any) -> None:
    site, running = served
    dead, other = until_two(site)
    os.kill(dead, signal.SIGKILL)
    answers = []

    def is_replaced() -> bool:
        answers.append(site.ask("POST", "/api/data/", BODY)[0])
        return len(told(site).keys() - {dead}) == 2

    site.wait_until(is_replaced, timeout=60, message="another one takes its place")
    assert set(answers) == {200}
    assert other in told(site)
    assert [(event["pid"], event["exitcode"]) for event in running.events("door.died")] == [(dead, -9)]


def test_clients_that_came_while_only_one_answered_are_spread_over_both(served: Any) -> None:
    site, _ = served
    first, other = pids = until_two(site)
    over, batch = threading.Event(), json.dumps({"transactions": [BODY] * 200})

    def submit(client: urllib3.HTTPConnectionPool) -> set[int]:
        """Post on and on, on one connection while the door keeps it; the statuses."""
        statuses = set()
        while not over.is_set():
            headers = {"Content-Type": "application/json"}
            statuses.add(client.request("POST", "/api/data/batch", body=batch, headers=headers).status)
        return statuses

    def connections(pid: int) -> int:
        return sum(
            one.status == psutil.CONN_ESTABLISHED and one.laddr.port == site.port
            for one in psutil.Process(pid).net_connections()
        )

    with ExitStack() as stack, ThreadPoolExecutor(6) as pool:
        clients = [
            stack.enter_context(urllib3.HTTPConnectionPool("127.0.0.1", site.port, timeout=30)) for _ in range(6)
        ]
        with alone(site, first, pids):
            assert {client.request("GET", "/healthz", retries=False).status for client in clients} == {200}
            assert (connections(first), connections(other)) == (6, 0)
        submitting = [pool.submit(submit, client) for client in clients]
        try:
            site.wait_until(lambda: connections(other) >= 2, timeout=60, message="the other one has some of them")
        finally:
            over.set()
        assert {status for one in submitting for status in one.result()} == {200}


def test_a_reload_replaces_both_and_nobody_is_turned_away(served: Any) -> None:
    site, running = served
    old, answers = until_two(site), []
    running.process.send_signal(signal.SIGHUP)

    def is_done() -> bool:
        answers.append(site.ask("POST", "/api/data/", BODY)[0])
        return bool(running.events("reload.done"))

    site.wait_until(is_done, timeout=60, message="the reload is done")
    assert set(answers) == {200}
    assert set(until_two(site, old)).isdisjoint(old)
    site.wait_until(lambda: not any(map(psutil.pid_exists, old)), timeout=60, message="the old ones have ended")


def test_a_revoked_key_opens_neither_and_both_together_allow_no_more_wrong_ones(served: Any) -> None:
    site, _ = served
    pids = until_two(site)
    made = site._queue.api_keys.create("ann", {Scope.READ})
    wrong: dict[int, list[int]] = {}
    for pid in pids:
        with alone(site, pid, pids):
            site.wait_until(lambda: show(site, "") == 401, timeout=60, message="a key is needed")
            assert show(site, made.text) == 200
            wrong[pid] = [show(site, "tq_wrong") for _ in range(BURST)]
    assert [codes[: BURST // 2] for codes in wrong.values()] == [[401] * (BURST // 2)] * 2
    assert [codes[BURST // 2] for codes in wrong.values()] == [429] * 2
    site._queue.api_keys.revoke(made.key.id)
    for pid in pids:
        with alone(site, pid, pids):
            site.wait_until(lambda: show(site, made.text) != 200, timeout=60, message="it opens nothing")


def test_when_the_front_process_is_killed_none_is_left(served: Any) -> None:
    _, running = served
    running.process.kill()
    running.ends()
    running.leaves_nothing(timeout=60)


def test_a_plugin_that_ends_them_is_left_out_and_a_ctrl_c_ends_all(site: Any) -> None:
    site.configure(api={"processes": 2})
    site.good_plugin()
    site.stuck_plugin("ends", "api", "os._exit(3)")
    running = site.start("up")
    until_two(site)
    running.until_ready()
    assert [(plugins["good"], plugins["ends"]) for plugins in told(site).values()] == [("ok", "broken")] * 2
    assert {event["plugin"] for event in running.events("plugin.broken") if event["role"] == "supervisor"} == {"ends"}
    running.signal_all(signal.SIGINT)
    assert running.ends() == 0
    running.leaves_nothing()
