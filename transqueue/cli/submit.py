"""`submit`: transactions through the door, one or a whole file, safe to repeat.

Each line of a file is sent under an idempotency key made of the file's content and the line's number, so sending the
same file again, after a crash or by mistake, accepts nothing twice. With `--key` in place of the content, the lines
that were refused can be corrected, and the file sent again.
"""

from __future__ import annotations

import hashlib
import json
import sys
import uuid
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ..errors import SubmissionRefused
from ..submission import read_json
from .credential import api_key, key_file
from .screen import plain
from .setup import NO, WRONG, Setup, api_url, fail
from .submitter import Line, Submitter, Tally

REFUSALS_SHOWN = 20


@click.command()
@click.argument("type", required=False)
@click.argument("data", required=False)
@click.option("--file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="NDJSON, one body a line.")
@click.option("--wait", "waits", is_flag=True, help="Wait until every one has ended.")
@click.option("--url", help="Where the API is; else the one of config.yaml.")
@click.option("--key", help="The idempotency key, else a new one; with --file what the lines' keys begin with.")
@key_file
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_obj
def submit(
    setup: Setup, /, type: str | None, data: str | None, file: Path | None, waits: bool, as_json: bool, **more: Any
) -> None:
    """Submit one transaction, TYPE with DATA as JSON, or a file of them, through the API."""
    if bool(file) == bool(type):
        fail('Give TYPE and DATA, such as: transqueue submit greet \'{"name": "Ada"}\', or --file FILE.', WRONG)
    tally = Tally()
    lines = _from_file(file, more["key"], tally) if file else [_single(str(type), data or "", more["key"])]
    client = Submitter(more["url"] or api_url(setup.config), key=api_key(more["key_file"]))
    with _progress(shown=file is not None and not as_json) as progress:
        client.submit(lines, tally, progress)
        if waits:
            client.wait(tally, progress)
    _tell(tally, file, waits=waits, as_json=as_json)
    sys.exit(NO if tally.refused or (waits and tally.states["done"] != len(tally.ids)) else 0)


def _single(type: str, data: str, key: str | None) -> Line:
    try:
        return Line(0, {"type": type, "data": read_json(data.encode()), "idempotency_key": key or uuid.uuid4().hex})
    except SubmissionRefused as error:
        fail(f"DATA: {error.message}", WRONG)


def _from_file(file: Path, key: str | None, tally: Tally) -> list[Line]:
    """The lines to send; those that are no JSON objects are refused here."""
    content = file.read_bytes()
    prefix = key or hashlib.sha256(content).hexdigest()[:32]
    lines: list[Line] = []
    for number, text in enumerate(content.split(b"\n"), 1):
        if text.strip():
            try:
                lines.append(Line(number, {"idempotency_key": f"{prefix}-{number}"} | _object(text)))
            except SubmissionRefused as error:
                tally.refuse(number, error.message)
    return lines


def _object(text: bytes) -> dict[str, Any]:
    item = read_json(text)
    if not isinstance(item, dict):
        raise SubmissionRefused(400, "invalid_json", "Each line must be a JSON object.")
    return item


def _progress(*, shown: bool) -> Progress:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:>9}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, disable=not (shown and console.is_terminal))


def _tell(tally: Tally, file: Path | None, *, waits: bool, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(tally.told()))
        return
    for line, message in tally.refused[:REFUSALS_SHOWN]:
        click.echo(plain(f"{file}:{line}: {message}" if file else message), err=True)
    if len(tally.refused) > REFUSALS_SHOWN:
        click.echo(f"... and {len(tally.refused) - REFUSALS_SHOWN} more", err=True)
    click.echo(", ".join(tally.summary(waits=waits)) + (f" ({tally.ids[0]})" if len(tally.ids) == 1 else ""))
