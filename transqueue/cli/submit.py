"""`submit`: transactions through the door, one or a whole file, safe to repeat.

Each line of a file is sent under an idempotency key made of the file's content and the line's number, so sending the
same file again, after a crash or by mistake, accepts nothing twice.
"""

from __future__ import annotations

import hashlib
import json
import sys
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import click
import urllib3
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from urllib3.exceptions import HTTPError

from ..errors import QueueUnavailable
from .setup import NO, WRONG, Setup, fail

BATCH = 500
WAITERS = 4
WAIT_SECONDS = 30
RETRIES = urllib3.Retry(
    total=8, backoff_factor=0.2, backoff_jitter=0.2, status_forcelist=[429, 503], allowed_methods=None
)
ENDED = ("done", "rejected", "dead", "cancelled")

Item = dict[str, Any]


@dataclass(slots=True)
class Tally:
    """What became of the submissions so far."""

    ids: list[str] = field(default_factory=list)
    replayed: int = 0
    refused: list[str] = field(default_factory=list)
    states: Counter[str] = field(default_factory=Counter)

    def told(self) -> Item:
        """As `--json` tells it."""
        return {
            "accepted": len(self.ids) - self.replayed,
            "replayed": self.replayed,
            "refused": self.refused,
            "states": dict(self.states),
            "ids": self.ids if len(self.ids) <= 100 else self.ids[:100],
        }


@click.command()
@click.argument("type", required=False)
@click.argument("data", required=False)
@click.option("--file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="NDJSON, one body a line.")
@click.option("--wait", "waits", is_flag=True, help="Wait until every one has ended.")
@click.option("--url", help="Where the API is; else the one of config.yaml.")
@click.option("--key", help="The idempotency key of a single submission; else a new one.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_obj
def submit(setup: Setup, /, type: str | None, data: str | None, file: Path | None, **more: Any) -> None:
    """Submit one transaction, TYPE with DATA as JSON, or a file of them, through the API."""
    items = _from_file(file) if file else [_single(type, data, more["key"])]
    if file and (type or data):
        fail("Give TYPE and DATA, or --file, not both.", WRONG)
    client = Submitter(more["url"] or f"http://{setup.config.api.host}:{setup.config.api.port}")
    with _progress(hidden=not file or more["as_json"]) as progress:
        tally = client.submit(items, progress)
        if more["waits"]:
            client.wait(tally, progress)
    _tell(tally, waits=more["waits"], as_json=more["as_json"])
    bad = tally.refused or (more["waits"] and tally.states["done"] != len(tally.ids))
    sys.exit(NO if bad else 0)


class Submitter:
    """Speaks to the door; every request may be repeated."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._http = urllib3.PoolManager(maxsize=WAITERS, retries=RETRIES, timeout=WAIT_SECONDS + 15)

    def submit(self, items: Sequence[Item], progress: Progress) -> Tally:
        """Send all, in batches.

        Raises:
            QueueUnavailable: the door cannot be reached; what was accepted stays so, and sending again is safe.
        """
        tally, bar = Tally(), progress.add_task("submitted", total=len(items))
        waiting = iter(items)
        while batch := list(islice(waiting, BATCH)):
            body = self._ask("POST", "/api/data/batch", {"transactions": batch})
            for item, result in zip(batch, body["data"]["results"], strict=True):
                _count(tally, item, result)
            progress.advance(bar, len(batch))
        return tally

    def wait(self, tally: Tally, progress: Progress) -> None:
        """Wait until each has ended.

        Raises:
            QueueUnavailable: the door cannot be reached.
        """
        bar = progress.add_task("ended", total=len(tally.ids))
        with ThreadPoolExecutor(WAITERS) as pool:
            for state in pool.map(self._end_of, tally.ids):
                tally.states[state] += 1
                progress.advance(bar)

    def _end_of(self, transaction: str) -> str:
        while True:
            state = self._ask("GET", f"/api/data/{transaction}?wait={WAIT_SECONDS}")["data"]["state"]
            if state in ENDED:
                return str(state)

    def _ask(self, method: str, path: str, body: Any = None) -> Item:
        try:
            answer = self._http.request(
                method,
                self._url + path,
                body=None if body is None else json.dumps(body),
                headers={"Content-Type": "application/json"},
            )
            told: Item = answer.json()
        except (HTTPError, ValueError) as error:
            raise QueueUnavailable(
                f"{self._url} could not be asked ({error}). Is TransQueue running? Submitting again is safe."
            ) from error
        if answer.status >= 400:
            raise QueueUnavailable(f"{self._url}{path}: {answer.status} {told.get('message', '')}")
        return told


def _single(type: str | None, data: str | None, key: str | None) -> Item:
    if not type or data is None:
        fail('Give TYPE and DATA, such as: transqueue submit greet \'{"name": "Ada"}\', or --file FILE.', WRONG)
    try:
        body = json.loads(data or "")
    except ValueError as error:
        fail(f"DATA is not JSON: {error}", WRONG)
    return {"type": type, "data": body, "idempotency_key": key or uuid.uuid4().hex}


def _from_file(file: Path) -> list[Item]:
    content = file.read_bytes()
    prefix = hashlib.sha256(content).hexdigest()[:32]
    return [{"idempotency_key": f"{prefix}-{number}"} | item for number, item in _lines(file, content)]


def _lines(file: Path, content: bytes) -> Iterator[tuple[int, Item]]:
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
        except ValueError as error:
            fail(f"{file}:{number}: not JSON: {error}", WRONG)
        if not isinstance(item, dict):
            fail(f"{file}:{number}: each line must be a JSON object", WRONG)
        yield number, item


def _count(tally: Tally, item: Item, result: Item) -> None:
    if result["status"] == "success":
        tally.ids.append(result["data"]["transaction_id"])
        tally.replayed += bool(result.get("replayed"))
    else:
        tally.refused.append(f"{item['idempotency_key']}: {result['message']}")


def _progress(*, hidden: bool) -> Progress:
    columns = (TextColumn("{task.description:>9}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True), disable=hidden)


def _tell(tally: Tally, *, waits: bool, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(tally.told()))
        return
    for refusal in tally.refused[:20]:
        click.echo(refusal, err=True)
    parts = [f"{len(tally.ids) - tally.replayed} accepted"]
    parts += [f"{tally.replayed} accepted before"] if tally.replayed else []
    parts += [f"{len(tally.refused)} refused"] if tally.refused else []
    parts += [f"{count} {state}" for state, count in sorted(tally.states.items())] if waits else []
    click.echo(", ".join(parts) + (f" ({tally.ids[0]})" if len(tally.ids) == 1 else ""))
