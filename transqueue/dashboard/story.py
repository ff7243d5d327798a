"""One transaction's whole story: what happened to it and how long each part took, and why it is where it is."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from ..admin.explain import explain
from ..submission import write_json
from ..transaction import ENDED, HISTORY_KEPT, State, Transaction
from .window import Window
from .words import exact

FOLLOWING = 20  # that are shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One line of the timeline.

    Attributes:
        seconds: how long it took: an attempt from its lease to its end, a wait until it was over.
        kind: `wait` or `run`, or nothing for a moment.
    """

    at: datetime
    words: str
    state: str
    kind: str = ""
    seconds: float | None = None
    worker: str = ""
    error: Mapping[str, Any] | None = None


def story(window: Window, transaction: Transaction, now: datetime, address: str) -> dict[str, Any]:
    """Everything that the page of one transaction shows."""
    circumstances = window.queue.circumstances(transaction.id)
    following = window.queue.listing.following(transaction.id, limit=FOLLOWING + 1)
    explanation = None
    if circumstances is not None:
        one = circumstances.transaction
        explanation = explain(replace(circumstances, parked=window.table.parked(one.type) if one else None))
    return {
        "one": transaction,
        "explanation": explanation,
        "steps": list(steps(transaction, now)),
        "shortened": len(transaction.history) == HISTORY_KEPT,
        "curl": curl(transaction, address),
        "may_retry": transaction.state is State.DEAD,
        "may_cancel": transaction.state in (State.QUEUED, State.DEAD),
        "ended": transaction.state in ENDED,
        "parent": transaction.parent or (transaction.origin or {}).get("transaction_id"),
        "following": following[:FOLLOWING],
        "more_following": len(following) > FOLLOWING,
    }


def steps(one: Transaction, now: datetime) -> Iterator[Step]:
    """From acceptance to now; times are those of the database's clock."""
    yield Step(at=one.created_at, words="accepted", state="queued")
    last = one.created_at
    for entry in one.history:
        leased_at = entry.get("leased_at")
        if leased_at and leased_at > last:
            yield Step(at=last, words="waited", state="", kind="wait", seconds=_between(last, leased_at))
        yield _happened(entry, leased_at)
        last = entry["at"]
    yield from _present(one, last, now)


def _happened(entry: Mapping[str, Any], leased_at: datetime | None) -> Step:
    attempt = f"attempt {entry['attempt']}" if entry.get("worker") else "moved by an operator"
    kept = ("at", "state", "attempt", "worker", "error", "leased_at", "lease")
    more = {name: value for name, value in entry.items() if name not in kept}
    words = f"{attempt}: {entry['state']}" + (f" ({write_json(more)})" if more else "")
    return Step(
        at=entry["at"],
        words=words,
        state=entry["state"],
        kind="run" if entry.get("worker") else "",
        seconds=_between(leased_at, entry["at"]) if leased_at else None,
        worker=entry.get("worker") or "",
        error=entry.get("error"),
    )


def _present(one: Transaction, last: datetime, now: datetime) -> Iterator[Step]:
    if one.state is State.RUNNING and one.lease:
        since = one.lease.at or last
        if since > last:
            yield Step(at=last, words="waited", state="", kind="wait", seconds=_between(last, since))
        yield Step(
            at=since,
            words=f"attempt {one.attempt}: with a worker",
            state="running",
            kind="run",
            seconds=_between(since, now),
            worker=one.lease.worker,
        )
    elif one.state is State.QUEUED:
        words = f"waits, due {'since' if one.due_at <= now else 'at'} {exact(one.due_at)}:"
        yield Step(at=last, words=words, state="queued", kind="wait", seconds=_between(last, now))


def _between(first: datetime, second: datetime) -> float:
    return max(0.0, (second - first).total_seconds())


def curl(one: Transaction, address: str) -> str:
    """The command that would submit the same again, as a new transaction."""
    body = write_json({"type": one.type, "data": one.data})
    return f"curl -s {shlex.quote(f'{address}/api/data/')} -H 'Content-Type: application/json' -d {shlex.quote(body)}"
