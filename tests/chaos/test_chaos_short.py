"""A short run of `make chaos`: one node, a fixed seed. Longer ones are run by hand: docs/chaos.md has their results."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CHAOS = Path(__file__).parent
SECONDS, PATIENCE = 15, 120  # fifteen seconds hit every window only with luck: it goes on until all are


@pytest.mark.timeout(400)
def test_money_and_order_survive_fifteen_seconds_of_faults(tmp_path: Path) -> None:
    command = [
        sys.executable,
        CHAOS,
        "--json",
        "--seconds",
        SECONDS,
        "--patience",
        PATIENCE,
        "--every",
        0.6,
        "--seed",
        11,
    ]
    ran = subprocess.run(
        [*map(str, command), "--folder", str(tmp_path / "run")],
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    report = json.loads(ran.stdout)
    assert all(not finding["wrong"] and finding["looked_at"] for finding in report["findings"]), report["findings"]
    assert report["faults"].keys() >= {"worker killed", "worker paused"}
    assert report["answers"]["submissions"] > 100
