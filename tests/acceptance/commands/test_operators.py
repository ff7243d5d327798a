"""What an operator does from a terminal: pause and resume, explain, cancel and retry by filter, top, audit."""

from __future__ import annotations

import getpass
import json
import os
import signal
from typing import Any

import pytest


def submitted(place: Any, name: str = "Ada", **options: Any) -> str:
    status, body = place.ask("POST", "/api/data/", {"type": "greet", "data": {"name": name}, "options": options})
    assert status == 200, body
    return str(body["data"]["transaction_id"])


def state(place: Any, transaction: str) -> str:
    return str(place.ask("GET", f"/api/data/{transaction}")[1]["data"]["state"])


def test_a_paused_type_waits_and_says_why_and_goes_on_when_it_is_resumed(running: Any, wait_until: Any) -> None:
    place = running.place
    paused = place.run("pause", "greet", "--reason", "maintenance")
    assert paused.code == 0, paused
    try:
        assert place.run("pause", "greet").code == 1
        # From within a second on; what is submitted after a look that late finds it obeyed by both workers.
        beats = place.ask("GET", "/api/stats")[1]["data"]["paused"]["greet"]
        assert beats["reason"] == "maintenance"
        wait_until(lambda: _is_obeyed(place), 30, "the pause is obeyed")
        waiting = submitted(place)
        told = place.run("explain", waiting)
        assert told.code == 0, told
        assert told.out.startswith(f"The type greet was paused by cli:{getpass.getuser()} at ")
        assert "maintenance" in told.out
        assert "transqueue resume 'greet'" in told.out
        assert json.loads(place.run("explain", waiting, "--json").out)["reasons"][0]["code"] == "type_paused"
    finally:
        assert place.run("resume", "greet").code == 0
    assert place.ask("GET", f"/api/data/{waiting}?wait=20")[1]["data"]["state"] == "done"
    assert place.run("resume", "greet").code == 1
    assert place.run("pause", "gret").code == 1


def _is_obeyed(place: Any) -> bool:
    """Whether one submitted now is still queued after a while."""
    probe = submitted(place)
    place.ask("GET", f"/api/data/{probe}?wait=1.5")
    return state(place, probe) == "queued"


def test_many_are_cancelled_by_a_filter_after_a_preview_and_only_with_a_yes(running: Any) -> None:
    place = running.place
    ids = [submitted(place, f"later {number}", delay_seconds=3600) for number in range(3)]
    asked = place.run("cancel", "--type", "greet", "--since", "1h")
    assert asked.code == 2, asked
    assert "3 queued of type greet" in asked.out
    assert "Say --yes" in asked.err
    assert {state(place, one) for one in ids} == {"queued"}
    done = place.run("cancel", "--type", "greet", "--since", "1h", "--yes", "--json")
    assert done.code == 0, done
    assert sorted(done.json["cancelled"]) == sorted(ids)
    assert {state(place, one) for one in ids} == {"cancelled"}
    assert place.run("cancel", ids[0]).code == 1
    assert place.run("retry", ids[0]).code == 1
    assert place.run("cancel").code == 2
    assert place.run("cancel", "1" * 21).code == 1
    found = place.run("ls", "--type", "greet", "--state", "cancelled", "--since", "1h", "--json")
    assert {json.loads(line)["id"] for line in found.out.splitlines()} >= set(ids)


def measured(place: Any, name: str) -> float:
    """The value of one sample of /metrics; 0 without it."""
    lines = place.ask("GET", "/metrics", Accept="raw")[1].decode().splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} ")), 0.0)


def test_what_the_processes_did_is_measured_within_seconds(running: Any, wait_until: Any) -> None:
    place = running.place
    done, accepted = 'transqueue_settled_total{outcome="done",type="greet"}', 'transqueue_accepted_total{type="greet"}'
    before = measured(place, done), measured(place, accepted)
    submitted(place)
    wait_until(lambda: measured(place, accepted) > before[1], 30, "the API's count has arrived")
    wait_until(lambda: measured(place, done) > before[0], 30, "a worker's count has arrived")
    for histogram in ("wait", "lease", "handler"):
        assert measured(place, f'transqueue_{histogram}_seconds_count{{type="greet"}}') > 0
    assert measured(place, "transqueue_worker_starts_total") == 2


def test_what_was_done_is_in_the_audit_and_top_shows_what_runs(running: Any) -> None:
    place = running.place
    entries = [json.loads(line) for line in place.run("audit", "--json", "--limit", "50").out.splitlines()]
    actions = {entry["action"] for entry in entries}
    assert {"type.paused", "type.resumed", "transactions.cancelled"} <= actions
    assert {entry["by"] for entry in entries} == {f"cli:{getpass.getuser()}"}
    cancelled = next(entry for entry in entries if entry["action"] == "transactions.cancelled")
    assert (cancelled["facts"]["count"], cancelled["facts"]["filter"]["type"]) == (3, "greet")
    assert place.run("audit").out.startswith("when")
    view = place.run("top", "--once")
    assert view.code == 0, view
    assert " 2 workers " in view.out
    assert any(line.startswith("greet") for line in view.out.splitlines())


@pytest.mark.parametrize("line", ["stats --watch", "top"])
def test_on_a_terminal_it_is_shown_again_and_again_until_ctrl_c(running: Any, line: str) -> None:
    place, said = running.place, ""
    waiting = submitted(place, delay_seconds=3600)
    ours, terminal = os.openpty()
    watching = place.on_terminal(*line.split(), terminal=terminal)
    os.close(terminal)
    try:
        while said.count("greet") < 3:  # the second and the third in the place of those before
            more = os.read(ours, 65_536).decode()
            assert more, said
            said += more
        watching.send_signal(signal.SIGINT)
        assert watching.wait(20) == 0
    finally:
        watching.kill()
        watching.wait()
        os.close(ours)
        place.run("cancel", waiting)
