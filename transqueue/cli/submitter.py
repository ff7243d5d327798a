"""Speaks to the door for `submit`: batches that may be sent again, and waiting for what becomes of them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import urllib3
from rich.progress import Progress
from urllib3.exceptions import HTTPError

from ..errors import NotAllowed, QueueUnavailable
from ..submission import write_json
from ..transaction import ENDED
from .credential import VARIABLE, authorization

BATCH_LINES = 500
BATCH_BYTES = 2 * 1024 * 1024
WAITERS = 4
WAIT_SECONDS = 30

NDJSON = "application/x-ndjson"
CURE = f"Set {VARIABLE}, or give --key-file; `transqueue keys create` makes a key."
REFUSALS = (400, 413, 415, 422)


class Patience(urllib3.Retry):
    """Waits as long as the door asks and up to as long again, or else by full jitter: a herd comes back spread out."""

    def get_retry_after(self, response: urllib3.BaseHTTPResponse) -> float | None:
        asked = super().get_retry_after(response)
        return None if asked is None else asked + random.uniform(0, asked)  # noqa: S311

    def get_backoff_time(self) -> float:
        return random.uniform(0, super().get_backoff_time())  # noqa: S311


# When nothing listens, that is said after about 3 seconds; once it was met, it may be starting again.
FIRST_MEETING = Patience(total=8, connect=4, backoff_factor=0.4, status_forcelist=[429, 503], allowed_methods=None)
LATER = FIRST_MEETING.new(connect=8)


@dataclass(frozen=True, slots=True)
class Line:
    """One submission, and the number of its line, 0 when it came from no file."""

    number: int
    item: dict[str, Any]


@dataclass(slots=True)
class Tally:
    """What became of the submissions so far."""

    ids: list[str] = field(default_factory=list)
    replayed: int = 0
    refused: list[tuple[int, str]] = field(default_factory=list)
    states: Counter[str] = field(default_factory=Counter)

    def count(self, line: Line, result: dict[str, Any]) -> None:
        """Take in the answer to one line."""
        if result["status"] == "success":
            self.ids.append(result["data"]["transaction_id"])
            self.replayed += result.get("replayed", False)
        else:
            self.refuse(line.number, result["message"])

    def refuse(self, number: int, message: str) -> None:
        """This line is not accepted."""
        self.refused.append((number, message))

    def summary(self, *, waits: bool) -> list[str]:
        """The counts in words."""
        parts = [f"{len(self.ids) - self.replayed} accepted"]
        parts += [f"{self.replayed} accepted before"] if self.replayed else []
        parts += [f"{len(self.refused)} refused"] if self.refused else []
        return parts + ([f"{count} {state}" for state, count in sorted(self.states.items())] if waits else [])

    def told(self) -> dict[str, Any]:
        """As `--json` tells it."""
        return {
            "accepted": len(self.ids) - self.replayed,
            "replayed": self.replayed,
            "refused": [{"line": number or None, "message": message} for number, message in self.refused],
            "states": dict(self.states),
            "ids": self.ids,
        }


class Submitter:
    """A client of the door; every request may be repeated."""

    def __init__(self, url: str, *, key: str | None = None) -> None:
        self._url, self._shown = url.rstrip("/"), authorization(key)
        self._http = urllib3.PoolManager(maxsize=WAITERS, timeout=WAIT_SECONDS + 15)
        self._retries = FIRST_MEETING

    def submit(self, lines: Sequence[Line], tally: Tally, progress: Progress) -> None:
        """Send all, in batches.

        Raises:
            QueueUnavailable: the door cannot be reached; what was accepted stays so, and sending again is safe.
        """
        bar = progress.add_task("submitted", total=len(lines))
        for batch, body in _batches(lines):
            answer = self._ask("POST", "/api/data/batch", body)
            results = answer["data"]["results"] if answer["status"] == "success" else [answer] * len(batch)
            for line, result in zip(batch, results, strict=True):
                tally.count(line, result)
            progress.advance(bar, len(batch))

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
            answer = self._ask("GET", f"/api/data/{transaction}?wait={WAIT_SECONDS}")
            state = str(answer["data"]["state"])
            if state in ENDED:
                return state

    def _ask(self, method: str, path: str, lines: bytes | None = None) -> dict[str, Any]:
        headers = self._shown | ({"Content-Type": NDJSON} if lines is not None else {})
        try:
            answer = self._http.request(
                method, self._url + path, body=lines, headers=headers, retries=self._retries, redirect=False
            )
            told = answer.json()
            if answer.status == 200 or (lines is not None and answer.status in REFUSALS and "message" in told):
                self._retries = LATER
                return dict(told)
        except (HTTPError, ValueError, TypeError) as error:
            raise QueueUnavailable(
                f"{self._url} could not be asked ({error}). Is TransQueue running? Submitting again is safe."
            ) from error
        if answer.status in (401, 403):
            raise NotAllowed(f"{self._url} says: {told.get('message')} {CURE}")
        raise QueueUnavailable(f"{self._url}{path} answered {answer.status}: {answer.data[:200]!r}")


def _batches(lines: Sequence[Line]) -> Iterator[tuple[list[Line], bytes]]:
    """Lines by the hundreds, bounded in bytes too, with their NDJSON."""
    batch: list[Line] = []
    body = b""
    for line in lines:
        text = write_json(line.item).encode() + b"\n"
        if batch and (len(batch) == BATCH_LINES or len(body) + len(text) > BATCH_BYTES):
            yield batch, body
            batch, body = [], b""
        batch.append(line)
        body += text
    if batch:
        yield batch, body
