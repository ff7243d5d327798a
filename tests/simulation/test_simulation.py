"""The real supervisor, keeper, workers, sessions and queue keep their promises in thousands of simulated troubles."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from pathlib import Path

import pytest
from simulation.hub import Thread
from simulation.seeds import HERE, report_of, run_on_all_cores
from simulation.world import simulate

SEEDS = 10_000
FAULTS = ("unsent", "unanswered", "late", "half", "slow", "election", "rolled back", "blocked", "went on alone")
WINDOWS = tuple(f"struck at {name}" for name in ("find", "insert", "update", "findAndModify", "commitTransaction"))
ENDS = ("done", "rejected", "dead", "cancelled")
LEAST = {"large": 250, "small": 900, "2 hosts": 4_400}  # how many seeds of them: most are tiny


@pytest.mark.timeout(1800)  # how long it takes: docs/simulation.md
def test_every_promise_holds_whatever_the_seed(record_property):
    summary = run_on_all_cores(0, SEEDS)
    record_property("told", f"simulation: {summary.figures}")
    print(f"\n{summary.told()}")
    assert not summary.breaches, summary.told()
    assert summary.seeds == SEEDS
    missed = [name for name in (*FAULTS, *WINDOWS, *ENDS, "session lifetime") if not summary.hits.get(name)]
    assert not missed, f"these faults were never met, so nothing is shown about them: {missed}"
    few = [name for name, least in LEAST.items() if summary.hits[name] < least]
    assert not few, f"fewer than {LEAST}, of which much is shown: {few}"


def test_a_seed_gives_the_same_run_again_in_any_process(tmp_path):
    told: list[str] = []
    first, again = simulate(21, told.append), simulate(21)
    assert (first.digest, first.events, first.seconds) == (again.digest, again.events, again.seconds)
    assert len(told) > 50
    command = [sys.executable, str(HERE), "--seed", "21", "--trace"]
    for hash_seed in ("1", "2"):
        environ = {"PYTHONHASHSEED": hash_seed, "PATH": str(Path(sys.executable).parent)}
        other = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert other.stdout.splitlines()[: len(told)] == told


def test_many_seeds_give_the_same_runs_again_whatever_the_order_of_sets():
    command = [sys.executable, str(HERE), "--first", "270", "--count", "60", "--step", "1", "--json"]
    digests = set()
    for hash_seed in ("1", "3"):
        environ = {"PYTHONHASHSEED": hash_seed, "PATH": str(Path(sys.executable).parent)}
        told = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
        digests.add(json.loads(told.stdout)["digest"])
    assert len(digests) == 1


def test_a_simulation_leaves_nothing_behind_that_would_slow_the_next_one():
    def threads():
        gc.collect()
        return sum(type(one) is Thread for one in gc.get_objects())

    before = threads()
    for seed in range(5):
        simulate(seed)
    assert threads() == before


def test_a_broken_seed_is_told_with_the_command_that_runs_it_again():
    command = [sys.executable, str(HERE), "--mutant", "no fence", "--cruel", "--count", "90", "--json"]
    summary = json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
    seed, breach = next(iter(summary["breaches"].items()))
    again = [sys.executable, str(HERE), "--mutant", "no fence", "--cruel", "--seed", seed]
    told = subprocess.run(again, capture_output=True, text=True, check=False)
    assert told.returncode == 1
    assert breach in told.stdout
    assert f"python tests/simulation --seed {seed} --trace --mutant 'no fence' --cruel\n" in told.stdout


def test_a_defect_that_is_raised_is_a_breach_too(monkeypatch):
    monkeypatch.setattr("simulation.people.People.start", lambda *_: 1 / 0)
    assert report_of(1).breach == "ZeroDivisionError: division by zero"
