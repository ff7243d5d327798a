"""`transqueue bench` on a real MongoDB, with real workers, for as short a time as it takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).parent / "transqueue"


@pytest.fixture
def bench(tmp_path, mongo_uri, mongo_database):
    """The function `bench(*arguments)`: what the command came to."""
    config = {"mongodb": {"uri": mongo_uri, "database": mongo_database}, "workers": {"processes": 1}}
    (tmp_path / "config.yaml").write_text(json.dumps(config))

    def run(*arguments):
        command = [COMMAND, "bench", "--seconds", "4", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)

    return run


def test_it_measures_reads_out_a_limit_and_leaves_nothing_behind(bench, mongo_client):
    before = set(mongo_client.list_database_names())
    ran = bench("--json")
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert all(told[name] > 0 for name in ("round_trip_ms", "durable_write_ms", "enqueued_rate", "drained_rate"))
    assert told["workers"] == 1
    assert {finding["code"] for finding in told["findings"]} >= {"acceptance"}
    assert not [
        name for name in set(mongo_client.list_database_names()) - before if name.startswith("transqueue_bench")
    ]


def test_a_database_that_is_there_is_left_as_it_is(bench, mongo_client, mongo_database):
    mongo_client[mongo_database]["Mine"].insert_one({"_id": 1})
    ran = bench("--database", mongo_database)
    assert ran.returncode == 1
    assert "is there already" in ran.stderr
    assert mongo_client[mongo_database]["Mine"].count_documents({}) == 1
