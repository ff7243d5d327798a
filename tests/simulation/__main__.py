"""Run seeds of the simulation: `python tests/simulation --seed 7 --trace` runs one again and tells everything.

Exit codes: 0 all promises held; 1 one was broken.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).parents[1]))

from simulation.mutants import MUTANTS, unbroken
from simulation.seeds import Summary, run_on_all_cores, run_seeds
from simulation.world import simulate


@click.command()
@click.option("--seed", type=int, help="Run this one alone.")
@click.option("--trace", is_flag=True, help="With --seed: print everything that happens.")
@click.option("--first", default=0, help="The first of many.")
@click.option("--count", default=10_000, help="How many.")
@click.option("--step", type=int, help="Run them in this process, taking every so many.")
@click.option("--mutant", type=click.Choice(list(MUTANTS)), help="Break the product on purpose.")
@click.option("--cruel", is_flag=True, help="Stop hosts wherever it hurts.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(seed: int | None, first: int, count: int, step: int | None, mutant: str, **flags: bool) -> None:
    """Simulate workers, supervisors, a database and people, and check the promises."""
    with MUTANTS.get(mutant, unbroken)():
        if seed is not None:
            summary = Summary()
            summary.add(simulate(seed, click.echo if flags["trace"] else None, cruel=flags["cruel"]))
        elif step or mutant or flags["cruel"]:
            seeds = range(first, first + count * (step or 1), step or 1)
            summary = run_seeds(seeds, cruel=flags["cruel"])
        else:
            summary = run_on_all_cores(first, count)
    summary.flags = f" --mutant '{mutant}'" * bool(mutant) + " --cruel" * flags["cruel"]
    click.echo(json.dumps(asdict(summary)) if flags["as_json"] else summary.told())
    sys.exit(1 if summary.breaches else 0)


main()
