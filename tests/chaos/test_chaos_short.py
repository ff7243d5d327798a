"""A short run of `make chaos`: one node, a fixed seed. Longer ones are run by hand: docs/chaos.md has their results."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CHAOS = Path(__file__).parent
SECONDS = 15
MISSED_A_WINDOW = 2  # too short a run to promise that every window is hit; what it looked at must be right all the same


@pytest.mark.timeout(240)
def test_money_and_order_survive_fifteen_seconds_of_faults(tmp_path: Path) -> None:
    command = [sys.executable, CHAOS, "--json", "--seconds", SECONDS, "--every", 0.6, "--seed", 11]
    ran = subprocess.run(
        [*map(str, command), "--folder", str(tmp_path / "run")],
        capture_output=True,
        text=True,
        timeout=220,
        check=False,
    )
    assert ran.returncode in (0, MISSED_A_WINDOW), ran.stdout + ran.stderr
    report = json.loads(ran.stdout)
    assert all(not finding["wrong"] and finding["looked_at"] for finding in report["findings"]), report["findings"]
    assert report["faults"].keys() >= {"worker killed", "worker paused"}
    assert report["answers"]["submissions"] > 100
