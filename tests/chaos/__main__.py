"""`make chaos`: real processes, real faults, and a checker that knows every cent. See docs/chaos.md.

Exit codes: 0 everything holds; 1 a check is violated; 2 the run missed a window, so it proves nothing.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).parent / "packages"))

from chaos_run import ChaosRun, Options
from report import as_json, print_report
from rich.console import Console


@click.command()
@click.option("--seconds", default=60.0, help="How long faults are injected.")
@click.option("--nodes", type=click.IntRange(1, 7), default=1, help="Of the replica set.")
@click.option("--seed", default=1, help="Of the faults and the submissions.")
@click.option("--clients", default=6, help="Threads that submit.")
@click.option("--every", "every_seconds", default=1.0, help="Seconds between two faults, on average.")
@click.option("--patience", "patience_seconds", default=0.0, help="Seconds longer, at most, while a window is missed.")
@click.option("--drain", "drain_seconds", default=120.0, help="Seconds that everything may take to end afterwards.")
@click.option("--alarm/--without-alarm", default=True, help="Without: no worker is ended at the end of its lease.")
@click.option("--mutant", type=click.Choice(["", "no-fence"]), default="", help="Break the product on purpose.")
@click.option("--folder", default="", help="Keep data and logs here.")
@click.option("--json", "json_wanted", is_flag=True, help="Print one JSON object.")
def main(json_wanted: bool, **options: object) -> None:
    """Inject faults into a small deployment of this machine, and check that no money is lost or made."""
    sys.setswitchinterval(0.0005)  # faults aim at windows of a millisecond
    with ChaosRun(Options(**options)) as run:
        report = run.run()
    if json_wanted:
        click.echo(json.dumps(as_json(report), indent=1))
    else:
        print_report(report, Console(width=120))
        if report.exit_code == 1:
            click.echo(f"everything is kept in {run.folder}")
    sys.exit(report.exit_code)


main()
