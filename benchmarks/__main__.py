"""The command: `python -m benchmarks`, or `make bench`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from . import machine, report
from .measure import Row
from .parts import Parts, Run, endtoend, growth, http, idle, latency, ledger, peers, queue, roofline, start
from .stage import Stage

PARTS: Parts = {
    part.PART: part.measure for part in (roofline, queue, ledger, http, endtoend, latency, growth, idle, start, peers)
}
WIDTH = 180  # of a table that is not on a terminal
DOCUMENT = Path(__file__).parent.parent / "docs" / "performance.md"


@click.command()
@click.option("--part", "names", multiple=True, type=click.Choice(list(PARTS)), help="Only this part; may be repeated.")
@click.option("--rounds", default=0, help="How often each contender runs.", show_default="5, or 1 with --quick")
@click.option("--scale", default=1.0, help="Sizes as a multiple of the usual ones.", show_default=True)
@click.option("--quick", is_flag=True, help="Tiny sizes: shows that everything runs, measures nothing.")
@click.option("--write", is_flag=True, help=f"Write the tables into docs/{DOCUMENT.name}.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
def main(names: tuple[str, ...], rounds: int, scale: float, *, quick: bool, write: bool, as_json: bool) -> None:
    """Measure TransQueue beside what MongoDB can do, and beside other queues. Nothing else should run meanwhile."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    rows: list[Row] = []
    shown = Console(stderr=True, width=None if sys.stderr.isatty() else WIDTH)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Stage() as stage, Progress(*columns, console=shown, transient=True) as progress:
        facts = machine.facts(stage.folder, stage.mongod_told)
        for name in names or PARTS:
            task = progress.add_task(name)
            run = Run(stage, rounds or (1 if quick else 5), quick, scale, _teller(progress, task, name))
            measured = list(PARTS[name](run))
            progress.remove_task(task)
            rows += measured
            if not as_json:
                report.show(measured, shown)
            if write:
                report.write(measured, facts, DOCUMENT)
    if as_json:
        click.echo(report.as_json(rows, facts))


def _teller(progress: Progress, task: TaskID, name: str) -> Callable[[str], None]:
    def tell(text: str) -> None:
        progress.update(task, description=f"{name}: {text}")
        if not sys.stderr.isatty():
            click.echo(f"{name}: {text}", err=True)

    return tell


if __name__ == "__main__":
    main()
