"""`show`, `ls` and `stats`: transactions as they stand in Q."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from ..submission import write_json
from ..transaction import State, Transaction
from .setup import NO, Setup, fail

_COLOURS = {State.DONE: "green", State.DEAD: "red", State.REJECTED: "yellow", State.RUNNING: "cyan"}


@click.command()
@click.argument("transaction_id")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_obj
def show(setup: Setup, transaction_id: str, *, as_json: bool) -> None:
    """Show one transaction whole."""
    transaction = setup.queue.get(transaction_id)
    if transaction is None:
        fail(f"No transaction {transaction_id}.", NO)
        return
    facts = _facts(transaction)
    if as_json:
        click.echo(write_json(facts))
        return
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in facts.items():
        if value not in (None, [], ""):
            table.add_row(name, _text(value))
    Console(soft_wrap=True, markup=False).print(table)


@click.command()
@click.option("--state", type=click.Choice([str(state) for state in State]), help="Only those in this state.")
@click.option("--type", help="Only those of this type.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many at most.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line on stdout.")
@click.pass_obj
def ls(setup: Setup, *, state: str | None, type: str | None, limit: int, as_json: bool) -> None:
    """List transactions, newest first."""
    found = _transactions(setup, State(state) if state else None, type, limit)
    if as_json:
        for transaction in found:
            click.echo(write_json(_facts(transaction)))
        return
    table = Table("id", "type", "state", "attempts", "created", "data", box=None, pad_edge=False)
    for one in found:
        colour = _COLOURS.get(one.state, "default")
        created = f"{one.created_at:%Y-%m-%d %H:%M:%S}"
        data = write_json(one.data)
        short = data if len(data) <= 60 else data[:59] + "…"
        table.add_row(
            one.id, one.type, f"[{colour}]{one.state}[/]", str(one.attempts), created, short.replace("[", r"\[")
        )
    Console(soft_wrap=True).print(table)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_obj
def stats(setup: Setup, *, as_json: bool) -> None:
    """Count transactions by type and state."""
    counts = setup.queue.counts()
    if as_json:
        click.echo(json.dumps(counts))
        return
    table = Table("type", *(str(state) for state in State), box=None, pad_edge=False)
    for type, by_state in sorted(counts.items()):
        table.add_row(type, *(str(by_state.get(state, 0)) for state in State))
    Console(soft_wrap=True, markup=False).print(table)


def _transactions(setup: Setup, state: State | None, type: str | None, limit: int) -> Iterator[Transaction]:
    after: str | None = None
    while limit > 0:
        page = setup.queue.page(state=state, type=type, after=after, limit=min(limit, 200))
        yield from page.transactions
        limit -= len(page.transactions)
        after = page.next
        if after is None:
            return


def _facts(transaction: Transaction) -> dict[str, Any]:
    facts: dict[str, Any] = _shown(dataclasses.asdict(transaction))
    return facts


def _shown(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, dict):
        return {name: _shown(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(item) for item in value]
    return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else write_json(value) if not isinstance(value, Decimal) else str(value)
