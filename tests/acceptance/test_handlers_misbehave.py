"""Handlers that crash, exit, hang or raise what they like: each costs its own transaction and no other."""

from __future__ import annotations

from typing import Any

WILD = """
    import os, re, signal, sys, time
    from transqueue import handler

    def segfault():
        os.kill(os.getpid(), signal.SIGSEGV)

    def interrupt():
        raise KeyboardInterrupt

    def recurse():
        return recurse()

    def hold_the_interpreter():
        re.match(r"(a+)+$", "a" * 50 + "b")

    def sleep_through_everything():
        while True:
            try:
                time.sleep(60)
            except BaseException:
                pass

    def eat():
        held = bytearray(400 << 20)
        for page in range(0, len(held), 4096):
            held[page] = 1
        time.sleep(60)

    def deep(levels):
        return [deep(levels - 1)] if levels else []

    def end_late():
        time.sleep(1.8)
        return "late"

    DEEDS = {
        "eat": eat,
        "a set": lambda: {1, 2},
        "not a number": lambda: float("nan"),
        "too big": lambda: "x" * 20_000,
        "too wide": lambda: 2**64,
        "too deep": lambda: deep(200),
        "well": lambda: "well",
        "segfault": segfault,
        "exit 3": lambda: os._exit(3),
        "exit 0": lambda: os._exit(0),
        "sys.exit": lambda: sys.exit(7),
        "interrupt": interrupt,
        "recurse": recurse,
        "hold": hold_the_interpreter,
        "sleep": sleep_through_everything,
        "late": end_late,
    }

    @handler("deed")
    def deed(transaction, context):
        return DEEDS[transaction.data["do"]]()

    @handler("limited", timeout_seconds=1)
    def limited(transaction, context):
        return DEEDS[transaction.data["do"]]()
"""
WELL = {"do": "well"}


def test_a_handler_that_kills_its_process_is_charged_alone_and_buried_after_three_crashes(site: Any) -> None:
    site.plugin("wild", WILD)
    site.configure(workers={"processes": 3})
    poison = {"segfault": "killed by SIGSEGV", "exit 3": "exit code 3", "exit 0": "exit code 0"}
    well = site.enqueue("deed", *[WELL] * 200)
    bad = site.enqueue("deed", *({"do": do} for do in poison))
    well += site.enqueue("deed", *[WELL] * 100)
    running = site.work()
    for transaction in site.until(well, "done"):
        assert (transaction["attempts"], transaction["crashes"], len(transaction["history"])) == (1, 0, 1)
    for transaction, reason in zip(site.until(bad, "dead", hurry=True, timeout=30), poison.values(), strict=True):
        assert (transaction["attempts"], transaction["crashes"]) == (3, 3)
        assert transaction["error"]["type"] == "WorkerDied"
        assert reason in transaction["error"]["message"]
        assert [reason in entry["error"]["message"] for entry in transaction["history"]] == [True] * 3
    assert running.stop() == 0
    assert sum(event["released"] for event in running.events("transactions.rescued")) > 0
    assert len(running.events("worker.spawned")) <= 3 + 9  # one more for each death, and none beside


def test_a_handler_that_exits_or_raises_anything_has_failed_its_attempt_and_the_worker_lives(site: Any) -> None:
    site.plugin("wild", WILD)
    running = site.work()
    raised = {"sys.exit": "SystemExit", "interrupt": "KeyboardInterrupt", "recurse": "RecursionError"}
    bad = site.enqueue("deed", *({"do": do} for do in raised), max_attempts=1)
    (again,) = site.enqueue("deed", {"do": "sys.exit"}, max_attempts=2)
    (well,) = site.enqueue("deed", WELL)
    for transaction, kind in zip(site.until(bad, "dead"), raised.values(), strict=True):
        assert (transaction["attempts"], transaction["crashes"]) == (1, 0)
        assert transaction["error"]["type"] == kind
    assert site.until([again], "dead", hurry=True)[0]["attempts"] == 2
    assert site.until([well], "done")[0]["result"] == "well"
    assert running.stop() == 0
    assert len(running.events("worker.spawned")) == 1


def test_a_handler_over_its_limit_is_asked_to_end_then_killed_and_the_next_go_on(site: Any) -> None:
    site.plugin("wild", WILD)
    site.configure(workers={"processes": 3})
    running = site.work()
    stuck = site.enqueue("limited", {"do": "sleep"}, {"do": "hold"}, max_attempts=1)
    (late,) = site.enqueue("limited", {"do": "late"}, max_attempts=1)
    for transaction in site.until(stuck, "dead"):
        assert (transaction["attempts"], transaction["crashes"]) == (1, 1)
        assert "did not end within 1 s" in transaction["error"]["message"]
    (ended,) = site.until([late], "done")
    assert (ended["result"], ended["attempts"], ended["crashes"]) == ("late", 1, 0)
    site.until(site.enqueue("limited", *[WELL] * 20), "done")
    assert {event["transaction"] for event in running.events("worker.timed_out")} == {*stuck, late}
    died = running.events("worker.died")
    assert sorted(event["ran"] for event in died) == sorted(stuck)
    assert running.stop() == 0


REFUSED = {
    "a set": "is not JSON",
    "not a number": "is not JSON",
    "too wide": "does not fit 64 bits",
    "too big": "20002 bytes of JSON; at most 16384",
    "too deep": "nested 201 levels deep",
}


def test_a_result_that_cannot_be_kept_fails_its_attempt_and_one_that_eats_memory_is_ended(site: Any) -> None:
    site.plugin("wild", WILD)
    site.configure(workers={"processes": 2, "lease_seconds": 60, "memory_mib": 300})
    refused = site.enqueue("deed", *({"do": do} for do in REFUSED), max_attempts=1)
    (hungry,) = site.enqueue("deed", {"do": "eat"}, max_attempts=1)
    well = site.enqueue("deed", *[WELL] * 20)
    running = site.work()
    for transaction, reason in zip(site.until(refused, "dead"), REFUSED.values(), strict=True):
        assert (transaction["attempts"], transaction["crashes"]) == (1, 0)
        assert transaction["error"]["type"] == "ResultRefused"
        assert reason in transaction["error"]["message"]
    (eaten,) = site.until([hungry], "dead", timeout=30)
    assert (eaten["attempts"], eaten["crashes"]) == (1, 1)
    assert "more than workers.memory_mib: 300" in eaten["error"]["message"]
    site.until(well, "done")
    site.wait_until(lambda: len(running.events("worker.spawned")) == 3, timeout=20, message="it is replaced")
    assert running.stop() == 0
    assert [event["transaction"] for event in running.events("worker.too_big")] == [hungry]
