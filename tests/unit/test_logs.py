"""Logs: one JSON line per event, as a process writes them on stderr."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from datetime import datetime

import pytest

HEAD = """
    import logging
    from transqueue import logs
    from transqueue.events import Events

    def start(**options):
        logs.configure(**options)
        return Events(logs.listener(role="worker", slot=3))
"""


def stderr(code):
    script = textwrap.dedent(HEAD) + textwrap.dedent(code)
    done = subprocess.run([sys.executable, "-c", script], stderr=subprocess.PIPE, timeout=60, check=True)
    return done.stderr.decode().splitlines()


def lines(code):
    return [json.loads(line) for line in stderr(code)]


def without_time(line):
    return {name: value for name, value in line.items() if name != "timestamp"}


def test_an_event_is_one_line_with_its_name_its_facts_and_those_of_the_process():
    (line,) = lines("""start(as_json=True).emit("worker.spawned", worker="abc", pid=12)""")
    assert without_time(line) == {
        "event": "worker.spawned",
        "level": "info",
        "role": "worker",
        "slot": 3,
        "worker": "abc",
        "pid": 12,
    }
    assert datetime.fromisoformat(line["timestamp"]).utcoffset().total_seconds() == 0


def test_where_stderr_is_no_terminal_lines_are_json():
    (line,) = lines("""start().emit("worker.ready")""")
    assert line["event"] == "worker.ready"


def test_for_people_a_line_is_not_json():
    (line,) = stderr("""start(as_json=False).emit("worker.ready", pid=12)""")
    assert "worker.ready" in line
    assert not line.startswith("{")


def test_facts_that_are_not_known_are_left_out():
    (line,) = lines("""start().emit("queue.unavailable", error=None, message="", attempt=0)""")
    assert "error" not in line
    assert (line["message"], line["attempt"]) == ("", 0)


def test_what_a_handler_says_of_a_transaction_is_in_no_log():
    (line,) = lines("""start().emit("transaction.retried", error="ValueError", message="of ann", attempt=1)""")
    assert (line["error"], line["attempt"]) == ("ValueError", 1)
    assert "ann" not in json.dumps(line)


@pytest.mark.parametrize("as_json", [True, False])
def test_secrets_are_masked_in_every_line_whoever_logs_it(as_json):
    said = stderr(
        f"""
        secret = "s3'cr\\"et"
        events = start(as_json={as_json}, secrets=[secret, "other-secret"])
        events.emit("plugin.broken", reason=f"no access with {{secret}}")
        logging.getLogger("acme").warning("token %s, %r", secret, "other-secret")
        try:
            raise ValueError(secret)
        except ValueError:
            logging.getLogger("acme").exception("it failed")
        """
    )
    assert len(said) >= 3
    assert not [line for line in said if "s3'cr" in line or "other-secret" in line]
    assert sum("***" in line for line in said) >= 3


@pytest.mark.parametrize("name", ["worker.died", "transaction.buried", "queue.unavailable", "plugin.broken"])
def test_what_somebody_should_look_at_is_a_warning(name):
    (line,) = lines(f"start().emit({name!r})")
    assert line["level"] == "warning"


def test_what_happens_all_the_time_is_told_only_when_asked_for():
    emit = """.emit("transactions.completed", count=5)"""
    assert lines(f"start(){emit}") == []
    (line,) = lines(f"start(level='DEBUG'){emit}")
    assert (line["level"], line["count"]) == ("debug", 5)


def test_what_a_plugin_logs_by_logging_comes_out_the_same():
    (line,) = lines("""start(); logging.getLogger("acme").warning("gateway %s is slow", "north")""")
    assert without_time(line) == {"event": "gateway north is slow", "level": "warning"}
    assert datetime.fromisoformat(line["timestamp"]).utcoffset().total_seconds() == 0


def test_an_exception_is_one_line_too():
    (line,) = lines("""
        start()
        try:
            1 / 0
        except ZeroDivisionError:
            logging.getLogger("acme").exception("gateway failed")
    """)
    assert line["event"] == "gateway failed"
    assert line["exception"].endswith("ZeroDivisionError: division by zero")


def test_a_fact_that_json_does_not_know_is_told_all_the_same():
    (line,) = lines("""start().emit("worker.died", what=object, lanes={1})""")
    assert line["what"] == "<class 'object'>"
    assert line["lanes"] in ([1], "{1}")


def test_the_driver_is_quiet_about_its_own_doings():
    assert lines("""start(level="DEBUG"); logging.getLogger("pymongo.command").debug("sent")""") == []


def test_whatever_is_logged_in_an_attempt_has_the_transaction_and_its_request_on_the_line():
    told = lines("""
        from datetime import UTC, datetime
        from transqueue import Handler
        from transqueue.executor import Bound, Executor
        from transqueue.process.marker import Marker
        from transqueue.testing import SettableClock
        from transqueue.transaction import Transaction
        start(as_json=True)
        now = datetime(2026, 1, 1, tzinfo=UTC)
        def handle(transaction, context):
            logging.getLogger("acme").warning("by logging")
            context.log.info("by context")
        one = Transaction(
            id="1" * 21, type="a", data={}, created_at=now, due_at=now, max_attempts=8, attempts=2, request_id="r-1"
        )
        executor = Executor(clock=SettableClock(now), marker=Marker(), new_transaction=None)
        executor.attempt(Bound(Handler(type="a", target=handle), handle, {}), one)
        logging.getLogger("acme").warning("afterwards")
    """)
    facts = {"transaction": "1" * 21, "type": "a", "attempt": 3, "request_id": "r-1"}
    assert [line["event"] for line in told] == ["by logging", "by context", "afterwards"]
    assert [{name: line.get(name) for name in facts} for line in told[:2]] == [facts, facts]
    assert facts.keys().isdisjoint(told[2])


def test_a_format_is_json_console_or_what_fits_the_place():
    (line,) = lines("""
        assert logs.in_json("json") and not logs.in_json("console") and logs.in_json("auto")
        start(as_json=logs.in_json("auto"), level="WARNING").emit("worker.died", ending="killed")
    """)
    assert line["event"] == "worker.died"
