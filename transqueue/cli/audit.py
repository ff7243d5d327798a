"""`audit`: who did what to which thing, and when."""

from __future__ import annotations

from dataclasses import asdict

import click

from ..admin.audit import AuditEntry
from ..submission import write_json
from .screen import print_table, told_time
from .setup import Setup

PAGE = 200


@click.command()
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many at most.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line on stdout.")
@click.pass_obj
def audit(setup: Setup, *, limit: int, as_json: bool) -> None:
    """List what operators did, the latest first."""
    entries: list[AuditEntry] = []
    after: str | None = None
    while len(entries) < limit:
        page = setup.queue.audit.page(after=after, limit=min(PAGE, limit - len(entries)))
        entries += page.entries
        after = page.next
        if after is None:
            break
    if as_json:
        for entry in entries:
            click.echo(write_json(asdict(entry)))
    else:
        print_table(("when", "by", "action", "target", "facts"), map(_row, entries))


def _row(entry: AuditEntry) -> tuple[str, ...]:
    facts = ", ".join(f"{name}: {value}" for name, value in entry.facts.items() if value not in ("", None))
    return told_time(entry.at), entry.by, entry.action, entry.target, facts
