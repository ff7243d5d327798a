"""`transqueue stats --watch`: how many of each type wait, run, or are dead, again and again until Ctrl-C."""

from __future__ import annotations

from rich.table import Table

from ..admin.measures import Depths, Measures
from .screen import plain, told_time
from .top import watch

WATCH_SECONDS = 2.0


def watch_depths(measures: Measures) -> None:
    """Show what is counted in the background, as it changes."""
    watch(lambda: _shown(measures.depths()), WATCH_SECONDS, once=False)


def _shown(depths: Depths) -> Table:
    table = Table("type", "due", "queued", "running", "dead", box=None, pad_edge=False, header_style="bold")
    for type, depth in depths.types.items():
        table.add_row(plain(type), *(str(count) for count in (depth.due, depth.queued, depth.running, depth.dead)))
    table.caption = f"counted at {told_time(depths.at)}"
    return table
