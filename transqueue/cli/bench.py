"""`bench`: measures this installation for some seconds, in a database of its own, and reads out what limits it."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ..mongodb import connect
from ..mongodb.gauge import Gauge
from .setup import Setup
from .trial import Tell, Trial, handler_runs
from .verdict import Figures, Finding, findings


@click.command()
@click.option(
    "--seconds",
    type=click.IntRange(4, 600),
    default=20,
    show_default=True,
    help="How long to measure; starting the workers takes a few more.",
)
@click.option("--database", help="The database to measure in; it must not be there yet.", show_default="a new name")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_obj
def bench(setup: Setup, *, seconds: int, database: str | None, as_json: bool) -> None:
    """Measure this installation, and tell what limits it.

    Real workers drain transactions that do nothing, in a database of their own that is dropped afterwards. What is in
    the configured database is not touched; of its own handlers only their measured times are read. On a machine that is
    in use, both the measurement and the use suffer meanwhile.
    """
    config, uri = setup.config, setup.uri
    runs = handler_runs(setup.queue, setup.queue.clock.now())
    setup.queue.close()
    name = database or f"transqueue_bench_{secrets.token_hex(4)}"
    with _progress() as tell, Gauge(uri, name) as gauge:
        queue = connect(uri, name)
        try:
            figures = Trial(config, uri, name, queue, gauge, tell).run(seconds)
        finally:
            queue.close()
    _print(figures, runs, as_json=as_json)


@contextmanager
def _progress() -> Generator[Tell]:
    """A bar on stderr, where that is a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("starting", total=1.0)
        yield lambda text, done: progress.update(task, description=text, completed=done)


def _print(figures: Figures, runs: tuple[tuple[str, float], ...], *, as_json: bool) -> None:
    measured = Figures(**asdict(figures) | {"runs": runs})
    found = findings(measured)
    if as_json:
        told = asdict(measured) | {"runs": dict(runs), "server_load": figures.server_load}
        told |= {"worker_load": figures.worker_load, "findings": [asdict(finding) for finding in found]}
        click.echo(json.dumps(told))
        return
    for name, value in _lines(figures):
        click.echo(f"{name:<26} {value}")
    for finding in found:
        click.echo("")
        _print_finding(finding)


def _lines(figures: Figures) -> list[tuple[str, str]]:
    lines = [
        ("round trip", f"{figures.round_trip_ms:.2f} ms"),
        ("one durable write", f"{figures.durable_write_ms:.2f} ms"),
        ("enqueued, 500 at a time", f"{figures.enqueued_rate:,.0f} a second"),
        ("drained, doing nothing", f"{figures.drained_rate:,.0f} a second by {figures.workers} workers"),
        ("one alone, until it is done", f"{figures.pick_up_ms:.1f} ms"),
    ]
    for name, each, load in (
        ("MongoDB's CPU", figures.server_us, figures.server_load),
        ("the workers' CPU", figures.worker_us, figures.worker_load),
    ):
        if each is not None and load is not None:
            lines.append((name, f"{each:.0f} µs for each transaction, {load:.1f} cores while draining"))
    return lines


def _print_finding(finding: Finding) -> None:
    click.echo(finding.sentence)
    if finding.change:
        click.echo(f"  What would change it: {finding.change}")
