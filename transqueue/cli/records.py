"""`show`, `ls` and `stats`: transactions as they stand in Q."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import click

from ..admin.measures import COUNTED
from ..submission import write_json
from ..transaction import State, Transaction
from .chosen import filter_of, filtered, matching
from .screen import plain, print_table, told_time
from .setup import NO, Setup, fail

DATA_SHOWN = 60  # on a terminal
COLOURS: Mapping[str, str] = {
    State.DONE: "green",
    State.DEAD: "red",
    State.REJECTED: "yellow",
    State.RUNNING: "cyan",
}


@click.command()
@click.argument("transaction_id")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_obj
def show(setup: Setup, transaction_id: str, *, as_json: bool) -> None:
    """Show one transaction whole."""
    transaction = setup.queue.get(transaction_id)
    if transaction is None:
        fail(f"No transaction {transaction_id}.", NO)
    elif as_json:
        click.echo(write_json(dataclasses.asdict(transaction)))
    else:
        _show(transaction)


@click.command()
@filtered
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many at most.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line on stdout.")
@click.pass_obj
def ls(setup: Setup, /, *, limit: int, as_json: bool, **given: Any) -> None:
    """List transactions, newest first."""
    found = matching(setup.queue, filter_of(given), limit)
    if as_json:
        for transaction in found:
            click.echo(write_json(dataclasses.asdict(transaction)))
    else:
        print_table(("id", "type", "state", "attempts", "created (UTC)", "data"), map(_row, found), COLOURS)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option("--watch", "watches", is_flag=True, help="Again every two seconds, until Ctrl-C: what has not ended.")
@click.pass_obj
def stats(setup: Setup, *, as_json: bool, watches: bool) -> None:
    """Count transactions by type and state, 10,000 of each at most; --watch tells how many wait in all."""
    if watches:
        from .depths import watch_depths  # noqa: PLC0415  (rich is slow, and only this needs it)

        watch_depths(setup.queue.measures)
        return
    counts = setup.queue.counts(at_most=COUNTED)
    if as_json:
        click.echo(json.dumps(counts))
        return
    rows = [[type, *(_bounded(found.get(state, 0)) for state in State)] for type, found in sorted(counts.items())]
    print_table(("type", *State), rows)


def _bounded(count: int) -> str:
    return f"{COUNTED}+" if count >= COUNTED else str(count)


def _row(one: Transaction) -> tuple[str, ...]:
    data = write_json(one.data)
    if sys.stdout.isatty() and len(data) > DATA_SHOWN:
        data = f"{data[: DATA_SHOWN - 1]}…"
    return one.id, one.type, one.state, str(one.attempts), f"{one.created_at:%Y-%m-%d %H:%M:%S}", data


def _show(one: Transaction) -> None:
    for name, value in _facts(one):
        if value:
            click.echo(
                f"{name:<13} {click.style(plain(value), fg=COLOURS.get(one.state) if name == 'state' else None)}"
            )
    if one.history:
        click.echo("history")
        print_table(("  at", "state", "attempt", "worker", "error"), map(_entry, one.history), COLOURS)
    for line in str((one.error or {}).get("traceback", "")).splitlines():
        click.echo(f"  {plain(line)}")


def _facts(one: Transaction) -> Iterator[tuple[str, str]]:
    yield "transaction", one.id
    yield "type", one.type + (f" (accepted for {one.plugin.name} {one.plugin.version})" if one.plugin else "")
    yield "state", one.state
    yield "data", write_json(one.data)
    yield "result", "" if one.result is None else write_json(one.result)
    yield "error", _error(one.error)
    crashes = f", {one.crashes} of them crashes" if one.crashes else ""
    yield "attempts", f"{one.attempts} of {one.max_attempts}{crashes}"
    yield "created", told_time(one.created_at)
    yield "due", "" if one.finished_at else told_time(one.due_at)
    yield "finished", told_time(one.finished_at) if one.finished_at else ""
    yield "priority", str(one.priority or "")
    yield "ordering key", one.ordering_key or ""
    yield "submitter", one.submitter
    yield "submitted as", one.idempotency.key if one.idempotency else ""
    yield "worker", one.lease.worker if one.lease else ""


def _entry(entry: Mapping[str, Any]) -> tuple[str, ...]:
    told = _error(entry.get("error"))
    attempt, worker = str(entry.get("attempt", "")), str(entry.get("worker", ""))[:8]
    return f"  {told_time(entry['at'])}", str(entry["state"]), attempt, worker, told


def _error(error: Mapping[str, Any] | None) -> str:
    return f"{error.get('type')}: {error.get('message')}" if error else ""
