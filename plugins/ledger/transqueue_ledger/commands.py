"""`transqueue ledger`: verify the books, show a balance."""

from __future__ import annotations

import json
from typing import Any

import click
from pymongo.errors import OperationFailure

from transqueue import hookimpl

from .audit import Audit, Difference, audit
from .money import written

SHOWN = 20
SNAPSHOT_TOO_OLD = 239


@hookimpl
def transqueue_cli() -> click.Group:
    """The group `ledger`; its commands get an object with `database` and `fail(message)`."""
    return ledger


@click.group()
def ledger() -> None:
    """Look after the ledger."""


@ledger.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def verify(context: click.Context, as_json: bool) -> None:
    """Check that every balance is the sum of its entries. Exit code 0: it is so; 1: it is not."""
    try:
        found = audit(context.obj.database)
    except OperationFailure as error:
        if error.code != SNAPSHOT_TOO_OLD:
            raise
        context.obj.fail(
            "not verified: the server keeps its past for less time than it takes to read the books; "
            "set its parameter minSnapshotHistoryWindowInSeconds higher, and try again"
        )
    click.echo(_json(found) if as_json else _text(found))
    context.exit(1 if found.differences else 0)


@ledger.command()
@click.argument("username")
@click.pass_obj
def balance(command: Any, username: str) -> None:
    """Print the balance of an account."""
    account = command.database["Bank"].find_one({"_id": username})
    if account is None:
        command.fail(f"there is no account {username!r}")
    else:
        click.echo(written(account["value"].to_decimal()))


def _text(found: Audit) -> str:
    counts = f"{found.accounts} accounts, {found.entries} entries, total {written(found.total)}"
    if not found.differences:
        return f"{counts}: every balance is the sum of its entries"
    lines = [f"{counts}: {len(found.differences)} accounts differ"]
    lines += [f"  {one.username}: Bank {_shown(one)}, Ledger {written(one.ledger)}" for one in _first(found)]
    if len(found.differences) > SHOWN:
        lines.append(f"  and {len(found.differences) - SHOWN} more")
    return "\n".join(lines)


def _json(found: Audit) -> str:
    return json.dumps(
        {
            "ok": not found.differences,
            "accounts": found.accounts,
            "entries": found.entries,
            "total": written(found.total),
            "differing": len(found.differences),
            "differences": [
                {
                    "username": one.username,
                    "bank": None if one.bank is None else written(one.bank),
                    "ledger": written(one.ledger),
                }
                for one in _first(found)
            ],
        }
    )


def _first(found: Audit) -> tuple[Difference, ...]:
    return found.differences[:SHOWN]


def _shown(one: Difference) -> str:
    return "has none" if one.bank is None else written(one.bank)
