"""`keys`: API keys made, listed, revoked, expired and forgotten, straight over the database.

A key's text is shown once, when it is made, on stdout and alone, so that a script can take it; what is kept is a hash.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime, timedelta
from typing import Any

import click

from ..access import ApiKey, Scope
from ..config import Config
from ..config.rules import type_or_family
from ..mongodb import MongoQueue, connect
from ..mongodb.embedded import PrivateMongod, attach
from .screen import plain, print_table, told_time
from .setup import NO, WRONG, Setup, by_me, fail

SUBMITTER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}")
NOTE_LENGTH = 200
COLOURS = {"active": "green", "expired": "yellow", "revoked": "red"}
AT_ONCE = "Every door knows within 5 seconds."

as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")


@click.group(invoke_without_command=True)
@as_json
@click.pass_context
def keys(ctx: click.Context, *, as_json: bool) -> None:
    """Make, list and end API keys."""
    if ctx.invoked_subcommand is None:
        _list(ctx.ensure_object(Setup), as_json=as_json)


@keys.command("list")
@as_json
@click.pass_obj
def list_(setup: Setup, *, as_json: bool) -> None:
    """List the keys, without their secrets."""
    _list(setup, as_json=as_json)


@keys.command()
@click.argument("submitter")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice([str(scope) for scope in Scope]),
    multiple=True,
    default=[str(Scope.SUBMIT)],
    help="submit: submit, and see one's own; read: see everything; operate: retry, cancel, pause; admin: all. "
    "May be repeated; without it: submit.",
)
@click.option("--type", "types", multiple=True, help="A type it may submit, or a family such as invoice.*; else all.")
@click.option("--expires-days", type=click.FloatRange(0, 36_500, min_open=True), help="It ends after so many days.")
@click.option("--note", default="", help="What it is for.")
@as_json
@click.pass_obj
def create(
    setup: Setup,
    submitter: str,
    scopes: Sequence[str],
    types: Sequence[str],
    expires_days: float | None,
    note: str,
    *,
    as_json: bool,
) -> None:
    """Make a key for SUBMITTER, an account that may have several: its text is shown this once."""
    _check(submitter, types, note)
    lasts = timedelta(days=expires_days) if expires_days else None
    with _keeper(setup) as queue:
        made = queue.api_keys.create(submitter, [Scope(one) for one in scopes], types=types, lasts=lasts, note=note)
        told = _told(made.key, queue.clock.now())
        _record(queue, "key.created", made.key.id, told)
    if as_json:
        click.echo(json.dumps({**told, "key": made.text}))
        return
    click.echo(made.text)
    click.echo(f"Key {made.key.id} of {submitter}: {_scopes(made.key)}. It is shown this once; keep it safe.", err=True)
    click.echo("Send it as: Authorization: Bearer <key>, or set TRANSQUEUE_API_KEY for `transqueue submit`.", err=True)


@keys.command()
@click.argument("key_id")
@as_json
@click.pass_obj
def revoke(setup: Setup, key_id: str, *, as_json: bool) -> None:
    """End a key for good. It stays in the list."""
    with _keeper(setup) as queue:
        if not queue.api_keys.revoke(key_id):
            fail(f"No key {plain(key_id)} that could be revoked. `transqueue keys` lists them.", NO)
        _record(queue, "key.revoked", key_id, {})
    _tell({"id": key_id, "state": "revoked"}, f"Key {key_id} is revoked. {AT_ONCE}", as_json=as_json)


@keys.command()
@click.argument("key_id")
@click.option("--after-days", type=click.FloatRange(0, 36_500), required=True, help="How many days from now; 0: now.")
@as_json
@click.pass_obj
def expire(setup: Setup, key_id: str, after_days: float, *, as_json: bool) -> None:
    """Let a key end at a time, so that its successor can take over meanwhile."""
    with _keeper(setup) as queue:
        at = queue.clock.now() + timedelta(days=after_days)
        if not queue.api_keys.expire(key_id, at):
            fail(f"No key {plain(key_id)} that could end. `transqueue keys` lists them.", NO)
        _record(queue, "key.expires", key_id, {"expires_at": at})
    told = {"id": key_id, "expires_at": at.isoformat()}
    _tell(told, f"Key {key_id} ends at {told_time(at)}. {AT_ONCE}", as_json=as_json)


@keys.command()
@click.argument("key_id")
@as_json
@click.pass_obj
def delete(setup: Setup, key_id: str, *, as_json: bool) -> None:
    """Forget a key that is revoked or expired. Without any key left, those on this machine need none again."""
    with _keeper(setup) as queue:
        if not queue.api_keys.delete(key_id):
            fail(f"No key {plain(key_id)} that is revoked or expired. `transqueue keys` lists them.", NO)
        _record(queue, "key.deleted", key_id, {})
    _tell({"id": key_id, "state": "deleted"}, f"Key {key_id} is forgotten.", as_json=as_json)


@contextmanager
def _keeper(setup: Setup) -> Generator[MongoQueue]:
    """The queue; a private MongoDB that is not running runs for the moment, since `up` may want the first key."""
    config = setup.config
    running = config.mongodb.uri or attach(config.data_dir)
    with ExitStack() as stack:
        uri = running or stack.enter_context(_private(config))
        yield stack.enter_context(closing(connect(uri, config.mongodb.database)))


@contextmanager
def _private(config: Config) -> Generator[str]:
    mongod = PrivateMongod(config.data_dir)
    try:
        yield mongod.start()
    finally:
        mongod.stop()


def _check(submitter: str, types: Sequence[str], note: str) -> None:
    if not SUBMITTER.fullmatch(submitter):
        fail("SUBMITTER must be 1 to 64 letters, digits, '_', '.', '@' and '-'.", WRONG)
    for type in types:
        if problem := type_or_family(type):
            fail(f"--type {plain(type)}: {problem}.", WRONG)
    if len(note) > NOTE_LENGTH or not note.isprintable():
        fail(f"--note must be one line of at most {NOTE_LENGTH} characters.", WRONG)


def _list(setup: Setup, *, as_json: bool) -> None:
    with _keeper(setup) as queue:
        found, now = queue.api_keys.all(), queue.clock.now()
    if as_json:
        click.echo(json.dumps({"keys": [_told(key, now) for key in found]}))
        return
    headers = ("key", "submitter", "scopes", "types", "state", "expires (UTC)", "last used (UTC)", "note")
    print_table(headers, [_row(key, now) for key in found], COLOURS)


def _row(key: ApiKey, now: datetime) -> tuple[str, ...]:
    types = ", ".join(sorted(key.types)) if key.types else "all"
    times = (_day(key.expires_at) or "never", _day(key.last_used_at) or "never")
    return key.id, key.submitter, _scopes(key), types, key.state(now), *times, key.note


def _day(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else ""


def _scopes(key: ApiKey) -> str:
    return ", ".join(scope for scope in Scope if scope in key.scopes)


def _record(queue: MongoQueue, action: str, target: str, facts: Mapping[str, Any]) -> None:
    queue.audit.record(by_me(), action, target, facts)


def _told(key: ApiKey, now: datetime) -> dict[str, Any]:
    """A key as scripts and the audit read it."""
    times = {name: getattr(key, name) for name in ("created_at", "expires_at", "revoked_at", "last_used_at")}
    return {
        "id": key.id,
        "submitter": key.submitter,
        "scopes": [scope for scope in Scope if scope in key.scopes],
        "types": sorted(key.types) if key.types else None,
        "state": key.state(now),
        "note": key.note,
        **{name: moment.isoformat() if moment else None for name, moment in times.items()},
    }


def _tell(told: Mapping[str, Any], words: str, *, as_json: bool) -> None:
    click.echo(json.dumps(told) if as_json else words)
