"""What operators do: `pause`, `resume`, `explain`, `retry`, `cancel`, `reload`; each is in the audit."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import click

from ..admin.explain import explain as explained
from ..admin.part import Part, Reload
from ..admin.pause import pause_of
from ..mongodb import MongoQueue
from ..operator import Operator
from .screen import plain
from .setup import COULD_NOT_ASK, NO, Setup, fail
from .who import by

LOOK_SECONDS = 0.2


@click.command()
@click.argument("type")
@click.option("--reason", default="", help="Why; shown to whoever asks why something waits.")
@click.pass_obj
def pause(setup: Setup, *, type: str, reason: str) -> None:
    """Start no more of TYPE, or of a family such as 'invoice.*', on any host; what is running ends."""
    if not _is_known(setup.queue, type):
        fail(f"No plugin has ever claimed the type {type!r}, and none is queued: `transqueue plugins` lists types.", NO)
    if not Operator(setup.queue, by()).pause(type, reason):
        standing = setup.queue.paused().get(type)
        fail(f"{type} was paused already{f' by {standing.by}' if standing else ''}.", NO)
    click.echo(f"{type} is paused: within a second no worker starts another one. `transqueue resume '{type}'` ends it.")


@click.command()
@click.argument("type")
@click.pass_obj
def resume(setup: Setup, *, type: str) -> None:
    """Let a paused TYPE, or family, go on."""
    if not Operator(setup.queue, by()).resume(type):
        wider = pause_of(type, setup.queue.paused())
        hint = f" Its family {wider[0]} is: resume that." if wider else ""
        fail(f"{type} is not paused.{hint}", NO)
    click.echo(f"{type} is resumed.")


@click.command()
@click.argument("transaction_id")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_obj
def explain(setup: Setup, *, transaction_id: str, as_json: bool) -> None:
    """Say why a transaction is not running, and what would change that."""
    circumstances = setup.queue.circumstances(transaction_id)
    if circumstances is None:
        fail(f"No transaction {transaction_id}.", NO)
    found = explained(circumstances)
    if as_json:
        click.echo(json.dumps(asdict(found)))
        return
    for reason in found.reasons:
        click.echo(plain(reason.sentence))
        if reason.change:
            click.echo(plain(f"  {reason.change}"))


@click.command()
@click.option("--host", help="The host to reload; else this one.")
@click.option("--all", "everywhere", is_flag=True, help="Reload on every host.")
@click.option("--timeout", type=click.FloatRange(1), default=180.0, show_default=True, help="Seconds to wait.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_obj
def reload(setup: Setup, *, host: str | None, everywhere: bool, timeout: float, as_json: bool) -> None:
    """Put config.yaml to use without a restart: the new set is up and healthy before the old one drains."""
    where = None if everywhere else host or socket.gethostname()
    request, asked = setup.queue.parts.ask(where)
    if not asked:
        fail(f"Nothing of TransQueue runs {f'on {where}' if where else 'on any host'}.", COULD_NOT_ASK)
    setup.queue.audit.record(by(), "config.reload_asked", where or "*", {"parts": len(asked)})
    answers = _answers(setup.queue, request, asked, timeout)
    if as_json:
        click.echo(json.dumps({"parts": [_told(part, answers.get(part.id)) for part in asked]}))
    else:
        for part in asked:
            answer = answers.get(part.id)
            click.echo(plain(f"{part.role} on {part.host} (pid {part.pid}): {_words(answer, timeout)}"))
    if len(answers) < len(asked):
        sys.exit(COULD_NOT_ASK)
    sys.exit(0 if all(answer.well for answer in answers.values()) else NO)


def _answers(queue: MongoQueue, request: str, asked: list[Part] | Any, timeout: float) -> Mapping[str, Reload]:
    until = time.monotonic() + timeout
    while True:
        answers = queue.parts.answers(request)
        if len(answers) == len(asked) or time.monotonic() >= until:
            return answers
        time.sleep(LOOK_SECONDS)


def _words(answer: Reload | None, timeout: float) -> str:
    if answer is None:
        return f"no answer within {timeout:g} s; it may still come"
    return "reloaded" if answer.well else f"refused, and what ran before goes on\n{answer.message}"


def _told(part: Part, answer: Reload | None) -> dict[str, Any]:
    outcome = {"well": answer.well if answer else None, "message": answer.message if answer else "no answer yet"}
    return {"role": part.role, "host": part.host, "pid": part.pid, **outcome}


def _is_known(queue: MongoQueue, type: str) -> bool:
    claims = {claim for types in queue.catalog.known_types().values() for claim in types}
    prefix = type.removesuffix("*")
    if type.endswith(".*"):
        return any(claim.startswith(prefix) for claim in claims) or bool(queue.queued_types(prefix))
    families = (claim.removesuffix("*") for claim in claims if claim.endswith(".*"))
    return type in claims or any(type.startswith(family) for family in families) or type in queue.queued_types(type)
