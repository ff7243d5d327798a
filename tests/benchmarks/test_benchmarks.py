"""The measurements run: tiny sizes, real processes. What they measure is for `make bench`, not for a test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_harness_drains_a_backlog_beside_its_reference():
    command = [sys.executable, "-m", "benchmarks", "--quick", "--json", "--part", "queue"]
    ran = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, timeout=110, check=True)
    measured = json.loads(ran.stdout)
    assert [(row["what"], len(row["samples"]), bool(row["verdict"])) for row in measured["rows"]] == [
        ("roofline, a lease written on each", 1, False),
        ("no-op, one by one", 1, True),
        ("no-op, batch=True", 1, True),
        ("no-op, one by one, by a mongod that keeps five minutes of its past", 1, False),
    ]
    assert all(row["samples"][0]["value"] > 0 for row in measured["rows"])
