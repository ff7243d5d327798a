"""The workers of a queue, as values: how one begins, is alive, dies, and what becomes of what it held."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .report import WorkerReport


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRecord:
    """One start of a worker process, with the sessions that its writes may be open in.

    Attributes:
        types: the claims that it has a working handler for; none when it does not say.
        broken: why, by the name of each plugin that does not work in it.
    """

    id: str
    host: str
    pid: int
    slot: int
    sessions: tuple[Any, ...] = ()
    types: tuple[str, ...] | None = None
    broken: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveWorker:
    """A worker whose lease is held; times are the server's. `types` and `broken` as its record has them."""

    id: str
    host: str
    pid: int
    slot: int
    started_at: datetime
    until: datetime
    report: WorkerReport | None = None
    types: Sequence[str] | None = None
    broken: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Casualty:
    """What a worker was doing when it died, as its supervisor knows it.

    Attributes:
        running: the id of the transaction whose handler was running; it is charged the attempt and the crash.
        group: a group was between its handlers and its commit: its members next run alone, uncharged; one that
            already was alone is charged the crash.
        reason: what is written on the charged one.
        ending: how it ended, in words.
    """

    running: str | None = None
    group: bool = False
    reason: str = "its worker died"
    ending: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescue:
    """What became of the transactions of one ended worker: ids by what happened to them."""

    worker: str
    released: tuple[str, ...] = ()
    charged: tuple[str, ...] = ()
    buried: tuple[str, ...] = ()


def able(type: str, workers: Iterable[LiveWorker]) -> int | None:
    """How many workers have a handler of a type; none when those of an older version do not say."""
    count = 0
    for worker in workers:
        if worker.types is None:
            return None
        count += any(claim == type or _is_in(claim, type) for claim in worker.types)
    return count


def _is_in(claim: str, type: str) -> bool:
    return claim.endswith(".*") and type.startswith(claim.removesuffix("*"))
