"""`make figures`: how long recovery takes on this machine, for docs/guarantees.md. Everything real, nothing simulated.

Exit codes: 0 every figure reaches its goal; 1 one does not.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import click
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "acceptance"), str(HERE.parent / "chaos")]

from measured import Bench  # noqa: E402


@dataclass(frozen=True, slots=True)
class Figure:
    """What is measured, and the goal that each single time is held to, in seconds."""

    what: str
    goal: float
    measure: Callable[[Bench, int], Sequence[float]]


FIGURES = {
    "worker": Figure("a killed worker's transaction is back in the queue", 1.0, Bench.killed_worker),
    "session": Figure("the same, killed inside an open session", 1.0, Bench.killed_in_session),
    "supervisor": Figure("no child is alive after its supervisor was killed", 0.2, Bench.killed_supervisor),
    "host": Figure("a lost host's transaction is back in the queue (lease 5 s)", 15.0, Bench.lost_host),
    "failover": Figure("the door accepts again, primary of three killed (1000/200 ms)", 3.0, Bench.failover),
    "slow": Figure("health, while 40 send no headers and 40 no bodies (p99)", 0.1, Bench.slow_clients),
    "pause": Figure("the last start of a type that was paused, on two hosts", 1.0, Bench.paused_type),
    "key": Figure("a revoked key is refused", 5.0, Bench.revoked_key),
}


@click.command()
@click.argument("names", nargs=-1, type=click.Choice([*FIGURES]))
@click.option("--times", default=5, help="How often each is measured.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(names: Sequence[str], times: int, *, as_json: bool) -> None:
    """Measure NAMES, or everything."""
    rows = []
    with tempfile.TemporaryDirectory() as folder, Bench(Path(folder)) as bench:
        for name in names or FIGURES:
            figure = FIGURES[name]
            seconds = figure.measure(bench, times)
            rows.append({"name": name, "what": figure.what, "times": len(seconds), "p50": median(seconds)})
            rows[-1] |= {"max": max(seconds), "goal": figure.goal, "well": max(seconds) <= figure.goal}
            click.echo(f"{name}: {', '.join(f'{one:.3f}' for one in seconds[:20])} s", err=True)
    click.echo(json.dumps(rows, indent=1)) if as_json else _print(rows)
    sys.exit(0 if all(row["well"] for row in rows) else 1)


def _print(rows: Sequence[dict[str, object]]) -> None:
    table = Table("figure", "times", "p50 s", "max s", "goal s", "")
    for row in rows:
        numbers = [f"{row[name]:.3f}" for name in ("p50", "max")]
        table.add_row(
            str(row["what"]), str(row["times"]), *numbers, f"{row['goal']:g}", "well" if row["well"] else "NO"
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
