"""The files of docs/operations fit what is really measured, and Prometheus's own tool finds no mistake in the rules."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from transqueue.api.metrics import Metrics
from transqueue.plugins import PluginState
from transqueue.queue import WorkerRecord
from transqueue.testing import MemoryQueue, SettableClock
from transqueue.transaction import Transaction

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAME = re.compile(r"transqueue_[a-z_]+")
RESTS = ("_bucket", "_count", "_sum")


@pytest.fixture(scope="module")
def measured():
    """The name of every sample that /metrics can have."""
    queue = MemoryQueue(SettableClock(NOW))
    queue.enqueue([Transaction(id="1" * 21, type="a", data={}, created_at=NOW, due_at=NOW, max_attempts=1)])
    queue.begin(WorkerRecord(id="w", host="h", pid=1, slot=0), lease_seconds=60)
    queue.pause("a", by="local")
    queue.measures.tally.add("a", "accepted")
    for histogram in ("wait", "held", "run"):
        queue.measures.tally.observe("a", 1.0, histogram=histogram)
    text = Metrics(queue, lambda: [PluginState(name="p", state="ok")], tuple).show().get_data(as_text=True)
    return {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}


def test_every_metric_in_an_alert_is_measured(measured):
    assert set(NAME.findall((OPERATIONS / "alerts.yaml").read_text())) <= measured


def test_every_metric_in_the_dashboard_is_measured_and_every_metric_is_shown(measured):
    board = json.loads((OPERATIONS / "grafana.json").read_text())
    shown = {name for panel in board["panels"] for one in panel["targets"] for name in NAME.findall(one["expr"])}
    assert shown <= measured
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    not_shown = {"transqueue_depth_counted_timestamp_seconds"}
    plain = {name for name in measured if not name.endswith((*RESTS, "_created"))}
    assert plain - shown == not_shown


@pytest.fixture(scope="module")
def promtool():
    found = shutil.which("promtool", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if found is None:
        pytest.fail("promtool judges the alerts: apt-get install prometheus (as root, `make test` installs it)")
    return found


def test_promtool_finds_no_mistake_in_the_alerts_and_each_fires_when_it_should(promtool):
    for arguments in (["check", "rules", "alerts.yaml"], ["test", "rules", "alerts_test.yaml"]):
        done = subprocess.run(
            [promtool, *arguments], cwd=OPERATIONS, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_finds_no_mistake_in_what_metrics_answers(promtool):
    text = Metrics(MemoryQueue(SettableClock(NOW)), list, tuple).show().get_data()
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
