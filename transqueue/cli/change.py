"""`retry` and `cancel`: by id, or all that a filter matches, shown before anything is done."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ..admin.filter import Filter
from ..mongodb import MongoQueue
from ..operator import Operator
from ..transaction import State, Transaction
from .chosen import filter_of, filtered, matching
from .screen import plain
from .setup import NO, WRONG, Setup, fail
from .who import by

AT_ONCE = 10_000  # one word changes at most so many; the next one goes on
SHOWN = 5

Change = Callable[[Transaction], bool]


@click.command()
@click.argument("transaction_ids", nargs=-1)
@filtered
@click.option("--attempts", type=click.IntRange(1, 1000), help="How many more attempts; else as many as it had.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_obj
def retry(setup: Setup, /, *, transaction_ids: tuple[str, ...], attempts: int | None, **given: Any) -> None:
    """Queue dead transactions again: those named, or all that the filter matches."""

    def redrive(one: Transaction) -> bool:
        more = attempts or one.max_attempts
        return setup.queue.redrive(one.id, more_attempts=more)

    _change(setup, "retried", (State.DEAD,), transaction_ids, redrive, given)


@click.command()
@click.argument("transaction_ids", nargs=-1)
@filtered
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_obj
def cancel(setup: Setup, /, *, transaction_ids: tuple[str, ...], **given: Any) -> None:
    """Cancel queued or dead transactions: those named, or all that the filter matches."""
    states = (State.QUEUED, State.DEAD)
    _change(setup, "cancelled", states, transaction_ids, lambda one: setup.queue.cancel(one.id), given)


def _change(
    setup: Setup, verb: str, states: Sequence[State], ids: Sequence[str], change: Change, given: dict[str, Any]
) -> None:
    filter, as_json, yes = filter_of(given), given["as_json"], given["yes"]
    if bool(ids) == (not filter.is_open):
        fail(f"Give the ids of what is to be {verb}, or a filter such as --type deposit --since 2h.", WRONG)
    chosen = _named(setup.queue, ids) if ids else _filtered(setup.queue, filter, states)
    if not ids and not as_json:
        _preview(chosen, verb)
    if chosen and not ids and not yes:
        _confirm(verb)
    done: list[str] = []
    try:
        done += (one.id for one in _progress(chosen, verb, shown=len(chosen) > 1 and not as_json) if change(one))
    finally:  # also of what a Ctrl-C cut short
        _record(Operator(setup.queue, by()), verb, filter, ids, done, len(chosen))
    setup.queue.measures.flush()
    if as_json:
        click.echo(json.dumps({verb: done, "unchanged": len(chosen) - len(done)}))
    else:
        left = f"; {len(chosen) - len(done)} were in no state for it" if len(done) < len(chosen) else ""
        click.echo(f"{len(done)} {verb}{left}.")
    sys.exit(NO if ids and len(done) < len(ids) else 0)


def _named(queue: MongoQueue, ids: Sequence[str]) -> list[Transaction]:
    found = {id: queue.get(id) for id in ids}
    missing = [id for id, one in found.items() if one is None]
    if missing:
        fail(f"No transaction {', '.join(missing)}; nothing was changed.", NO)
    return [one for one in found.values() if one]


def _filtered(queue: MongoQueue, filter: Filter, states: Sequence[State]) -> list[Transaction]:
    if filter.state is not None and filter.state not in states:
        fail(f"Those that are {filter.state} cannot be changed so; {' and '.join(states)} can.", WRONG)
    among = [filter] if filter.state else [replace(filter, state=state) for state in states]
    return [one for each in among for one in matching(queue, each, AT_ONCE)][:AT_ONCE]


def _preview(chosen: Sequence[Transaction], verb: str) -> None:
    by_type = Counter((one.type, str(one.state)) for one in chosen)
    click.echo(f"{len(chosen)} match{' (no more are taken at once)' if len(chosen) == AT_ONCE else ''}:")
    for (type, state), count in sorted(by_type.items()):
        click.echo(f"  {count} {state} of type {plain(type)}")
    for one in chosen[:SHOWN]:
        click.echo(f"  {one.id}  {plain((one.error or {}).get('message', ''))[:80]}".rstrip())
    if len(chosen) > SHOWN:
        click.echo(f"  ... and {len(chosen) - SHOWN} more are to be {verb}")


def _confirm(verb: str) -> None:
    if not sys.stdin.isatty():
        fail(f"Nothing was {verb}: nobody can be asked here. Say --yes to do it.", WRONG)
    if not click.confirm(f"Shall these be {verb}?"):
        fail(f"Nothing was {verb}.", NO)


def _progress(chosen: Sequence[Transaction], verb: str, *, shown: bool) -> Any:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:>9}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not (shown and console.is_terminal)) as progress:
        yield from progress.track(chosen, description=verb)


def _record(
    operator: Operator, verb: str, filter: Filter, ids: Sequence[str], done: Sequence[str], chosen: int
) -> None:
    if done:
        said = {name: str(value) for name, value in asdict(filter).items() if value is not None}
        operator.record(
            f"transactions.{verb}",
            done[0] if len(done) == 1 else "*",
            {"count": len(done), "chosen": chosen, "filter": said, "ids": list(ids)},
        )
