"""Plugins that pass every look, and then keep a worker from starting: they are named, they park, the others go on."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest

GOOD = """
    from transqueue import handler

    @handler("good")
    def good(transaction, context):
        return "good"
"""
STUCK = """
    import os, time
    from transqueue import handler, hookimpl

    @hookimpl
    def transqueue_startup(role):
        if role == "worker":
            {body}

    @handler({name!r})
    def stuck(transaction, context):
        return "never"
"""
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


@pytest.fixture(scope="module")
def running(make_site: Any) -> Any:
    """All of them in one run, until a worker is ready."""
    site = make_site()
    site.plugin("good", GOOD)
    site.plugin("hangs", STUCK.format(name="hangs", body="time.sleep(600)"))
    site.plugin("exits", STUCK.format(name="exits", body="os._exit(3)"))
    site.plugin("segfaults", SEGFAULTS)
    waiting = [id for name in TOLD for id in site.enqueue(name, {})]
    up = site.start("up", TRANSQUEUE_PROBE_SECONDS="4")
    try:
        site.wait_until(lambda: up.events("worker.ready"), timeout=90, message=f"a worker is ready {up.told()}")
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
    assert {name: (event["phase"], event["reason"]) for name, event in told.items()} == TOLD
    assert "plugins: {hangs: {enabled: false}}" in told["hangs"]["cure"]


def test_the_door_the_metrics_and_the_command_tell_the_same_of_the_workers(running: Any) -> None:
    site = running[0]
    site.wait_until(site._is_open, timeout=60, message="the door opens")
    site.wait_until(lambda: len(site.ask("GET", "/api/plugins")[1]["data"]["processes"]) == 2, message="both tell")
    processes = site.ask("GET", "/api/plugins")[1]["data"]["processes"]
    worker = next(one["plugins"] for one in processes if one["role"] == "worker")
    assert {name: (one["phase"], one["reason"]) for name, one in worker.items() if one["state"] == "broken"} == TOLD
    with urllib.request.urlopen(f"http://127.0.0.1:{site.port}/metrics", timeout=30) as answer:
        metrics = answer.read().decode()
    for name in ("good", *TOLD):
        assert f'transqueue_plugin_up{{plugin="{name}",role="api"}} 1.0' in metrics
        assert f'transqueue_plugin_up{{plugin="{name}",role="worker"}} {float(name == "good")}' in metrics
    command = site.start("plugins", "--json")
    assert command.ends() == 1
    listed = next(one["plugins"] for one in json.loads(command.out)["processes"] if one["role"] == "worker")
    assert listed["hangs"]["phase"] == "startup"


def test_strictly_it_refuses_the_start(make_site: Any) -> None:
    site = make_site()
    site.plugin("exits", STUCK.format(name="exits", body="os._exit(3)"))
    running = site.start("work", TRANSQUEUE_STRICT="1")
    assert running.ends(60) == 2
    assert "plugin 'exits' is broken (startup): it ends the worker (exit code 3)" in running.log
    running.leaves_nothing()
    site.close()
