"""Plugins that pass every look, and then keep a worker from starting: they are named, they park, the others go on."""

from __future__ import annotations

import json
import signal
import urllib.request
from typing import Any

import pytest

SEGFAULTS = """
    import os, signal
    from transqueue import handler

    @handler("segfaults")
    class Segfaults:
        def __init__(self, config):
            os.kill(os.getpid(), signal.SIGSEGV)

        def __call__(self, transaction, context):
            return "never"
"""
TOLD = {
    "hangs": ("startup", "a worker waited for it for more than 4 s"),
    "exits": ("startup", "it ends the worker (exit code 3)"),
    "segfaults": ("handlers", "it ends the worker (killed by SIGSEGV)"),
}


TOLD_IN_API = {
    "holds": ("startup", "the API waited for it for more than 4 s"),
    "ends": ("startup", "it ends the process that answers requests"),
}


@pytest.fixture(scope="module")
def running(make_site: Any) -> Any:
    """All of them in one run, until a worker is ready."""
    site = make_site()
    site.good_plugin()
    site.stuck_plugin("hangs", "worker", "time.sleep(600)")
    site.stuck_plugin("exits", "worker", "os._exit(3)")
    site.plugin("segfaults", SEGFAULTS)
    site.stuck_plugin("holds", "api", "time.sleep(600)")
    site.stuck_plugin("ends", "api", "os._exit(3)")
    waiting = [id for name in TOLD for id in site.enqueue(name, {})]
    up = site.start("up", TRANSQUEUE_PROBE_SECONDS="4")
    try:
        site.wait_until(lambda: up.events("worker.ready"), timeout=90, message="a worker is ready")
        site.wait_until(site._is_open, timeout=90, message="the door opens")
        yield site, up, waiting
    finally:
        site.close()


def test_the_transactions_of_others_are_processed_and_theirs_wait_uncharged(running: Any) -> None:
    site, _, waiting = running
    site.until(site.enqueue("good", {}, {}), "done")
    for one in site.transactions(waiting):
        assert (one["state"], one["attempts"], one["history"]) == ("queued", 0, [])


def test_the_log_names_each_with_its_phase_its_reason_and_its_cure(running: Any) -> None:
    told = {event["plugin"]: event for event in running[1].events("plugin.broken") if event["role"] == "supervisor"}
    assert {name: (event["phase"], event["reason"]) for name, event in told.items()} == TOLD | TOLD_IN_API
    assert "plugins: {hangs: {enabled: false}}" in told["hangs"]["cure"]


def test_the_door_the_metrics_and_the_command_tell_the_same_of_the_workers(running: Any) -> None:
    site = running[0]
    site.wait_until(lambda: len(site.ask("GET", "/api/plugins")[1]["data"]["processes"]) == 2, message="both tell")
    processes = site.ask("GET", "/api/plugins")[1]["data"]["processes"]
    for role, broken in (("worker", TOLD), ("api", TOLD_IN_API)):
        here = next(one["plugins"] for one in processes if one["role"] == role)
        assert {name: (one["phase"], one["reason"]) for name, one in here.items() if one["state"] == "broken"} == broken
    with urllib.request.urlopen(f"http://127.0.0.1:{site.port}/metrics", timeout=30) as answer:
        metrics = answer.read().decode()
    for name in ("good", *TOLD, *TOLD_IN_API):
        assert f'transqueue_plugin_up{{plugin="{name}",role="api"}} {float(name not in TOLD_IN_API)}' in metrics
        assert f'transqueue_plugin_up{{plugin="{name}",role="worker"}} {float(name not in TOLD)}' in metrics
    command = site.start("plugins", "--json")
    assert command.ends() == 1
    listed = next(one["plugins"] for one in json.loads(command.out)["processes"] if one["role"] == "worker")
    assert listed["hangs"]["phase"] == "startup"


@pytest.mark.parametrize(
    ("command", "role", "reason"),
    [
        ("work", "worker", "it ends the worker (exit code 3)"),
        ("api", "api", "it ends the process that answers requests"),
    ],
)
def test_strictly_it_refuses_the_start(site: Any, command: str, role: str, reason: str) -> None:
    site.stuck_plugin("exits", role, "os._exit(3)")
    running = site.start(command, TRANSQUEUE_STRICT="1")
    assert running.ends(60) == 2
    assert f"plugin 'exits' is broken (startup): {reason}" in running.log
    running.leaves_nothing()


def _refuses_to_reload_with_one_that_hangs(site: Any, running: Any) -> None:
    site.stuck_plugin("holds", "api", "time.sleep(600)")
    running.process.send_signal(signal.SIGHUP)
    site.wait_until(lambda: running.events("reload.refused"), timeout=60, message="the reload is refused")
    reason = running.events("reload.refused")[0]["reason"]
    assert "plugin 'holds' is broken (startup): the API waited for it for more than 4 s. Correct it, or" in reason
    assert reason.endswith("switch it off: plugins: {holds: {enabled: false}}. What ran before goes on.")
    assert site.ask("POST", "/api/data/", {"type": "good", "data": {}})[0] == 200


def test_the_api_by_itself_opens_and_reloads_without_it(site: Any) -> None:
    site.good_plugin()
    site.stuck_plugin("ends", "api", "os._exit(3)")
    site.configure(plugins={"ends": {"enabled": True, "handlers": {"ends": {"max_attempts": 2}}}})
    running = site.start("api", TRANSQUEUE_PROBE_SECONDS="4")
    site.wait_until(site._is_open, timeout=60, message="the door opens")
    assert site.ask("POST", "/api/data/", {"type": "good", "data": {}})[0] == 200
    _refuses_to_reload_with_one_that_hangs(site, running)
    status, answer, headers = site.ask("POST", "/api/data/", {"type": "ends", "data": {}})
    assert (status, answer["code"], headers["Retry-After"]) == (503, "handler_unavailable", "30")
    assert running.stop() == 0
    running.leaves_nothing()
