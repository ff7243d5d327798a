"""`top`: what runs, waits and fails now, on every host, as a view that renews itself until Ctrl-C.

It reads what is measured already, so that looking costs the same whatever is stored.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import click
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..admin.crew import LiveWorker
from ..admin.measures import Depth, Depths, Point, added
from ..admin.pause import Pause, pause_of
from ..mongodb import MongoQueue
from .screen import plain, told_seconds
from .setup import Setup

MINUTES = 5  # that rates are taken over
NONE = "-"


@dataclass(frozen=True, slots=True)
class View:
    """Everything that is shown, as it was at one moment. `recent`: by type, the figures of the last minutes."""

    now: datetime
    depths: Depths
    recent: Mapping[str, Point]
    workers: Sequence[LiveWorker]
    paused: Mapping[str, Pause]


@click.command()
@click.option("--seconds", type=click.FloatRange(0.5, 60), default=2.0, show_default=True, help="Between two looks.")
@click.option("--once", is_flag=True, help="Show it once and end.")
@click.pass_obj
def top(setup: Setup, *, seconds: float, once: bool) -> None:
    """Watch what runs, waits and fails, on every host, until Ctrl-C."""
    queue = setup.queue
    watch(lambda: shown(looked(queue)), seconds, once=once)


def watch(look: Callable[[], Group | Table], seconds: float, *, once: bool) -> None:
    """Show what `look` gives, again and again, until Ctrl-C."""
    console = Console()
    if once:
        console.print(look())
        return
    with contextlib.suppress(KeyboardInterrupt), Live(look(), console=console, auto_refresh=False) as live:
        while True:
            time.sleep(seconds)
            live.update(look(), refresh=True)


def looked(queue: MongoQueue) -> View:
    """What is shown, read now: a few small reads, and one of figures for each type."""
    now, depths, paused = queue.clock.now(), queue.measures.depths(), queue.paused()
    since = now.replace(second=0, microsecond=0) - timedelta(minutes=MINUTES)
    types = sorted({*depths.types, *(type for type in queue.measures.totals() if type != "*")})
    recent = {
        type: Point(since, added(point.figures for point in queue.measures.series(type, since, now, 60)))
        for type in types
    }
    return View(now, depths, recent, queue.workers(), paused)


def shown(view: View) -> Group:
    """The view as rich shows it."""
    return Group(_headline(view), Text(), _types(view), Text(), _workers(view.workers))


def _headline(view: View) -> Text:
    depths = view.depths.types.values()
    oldest = min((one.oldest_due_at for one in depths if one.oldest_due_at), default=None)
    waits = f", the oldest for {_age(oldest, view.now)}" if oldest else ""
    line = Text(f"{view.now:%H:%M:%S} UTC  ", style="bold")
    alive = len(view.workers)
    line.append(f"{alive} workers", style="bold" if alive else "bold red")
    line.append(f"  {sum(one.due for one in depths)} due{waits}  ")
    dead = sum(one.dead for one in depths)
    line.append(f"{dead} dead", style="red" if dead else "")
    return line


def _types(view: View) -> Table:
    table = _table("type", "due", "queued", "running", "dead", "oldest", "in/min", "out/min", "failed/min", "p95 run")
    for type in sorted({*view.depths.types, *view.recent}):
        depth, recent = view.depths.types.get(type, Depth()), view.recent.get(type, Point(view.now, {}))
        slow = recent.quantile("run", 0.95)
        failed = recent.count("retried") + recent.count("dead")
        name = f"{plain(type)} (paused)" if pause_of(type, view.paused) else plain(type)
        table.add_row(
            name,
            *(str(count) for count in (depth.due, depth.queued, depth.running, depth.dead)),
            _age(depth.oldest_due_at, view.now),
            _rate(recent.count("accepted")),
            _rate(recent.count("done") + recent.count("rejected")),
            _rate(failed),
            NONE if slow is None else f"{slow * 1000:.0f} ms",
        )
    return table


def _workers(workers: Sequence[LiveWorker]) -> Table:
    table = _table("host", "slot", "pid", "doing", "for", "memory", left=4)
    for one in workers:
        report = one.report
        doing = NONE if report is None else report.transaction or report.doing
        seconds = NONE if report is None or report.seconds is None else told_seconds(report.seconds)
        memory = NONE if report is None or not report.memory_bytes else f"{report.memory_bytes / 2**20:.0f} MiB"
        table.add_row(plain(one.host), str(one.slot), str(one.pid), plain(doing), seconds, memory)
    return table


def _table(*columns: str, left: int = 1) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place < left else "right", no_wrap=True)
    return table


def _age(since: datetime | None, now: datetime) -> str:
    return NONE if since is None else told_seconds(max(0.0, (now - since).total_seconds()))


def _rate(count: float) -> str:
    return f"{count / MINUTES:.0f}" if count >= MINUTES or not count else f"{count / MINUTES:.1f}"
