"""How long it took until things went on after a fault."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from history import SUCCEEDED, Change
from injections import KILL_API, KILL_PRIMARY, KILL_SUPERVISOR, KILL_WORKER, PAUSE_PRIMARY, PAUSE_WORKER, Fault
from parties import LEASE_SECONDS


@dataclass(frozen=True, slots=True)
class Recovery:
    """What was measured, each time in seconds."""

    what: str
    seconds: Sequence[float]

    @property
    def p50(self) -> float:
        return median(self.seconds)

    @property
    def longest(self) -> float:
        return max(self.seconds)


def recoveries(
    happened: Iterable[Fault],
    changes: Sequence[Change],
    accepted_at: Sequence[tuple[float, float]],
    worker_of: Mapping[int, str],
) -> list[Recovery]:
    """From faults to what happened next.

    Args:
        accepted_at: when new submissions were sent and answered.
        worker_of: by process id, how the worker's id begins.
    """
    held, faults = Held(changes, worker_of), list(happened)
    long = [fault for fault in faults if fault.seconds > LEASE_SECONDS]
    ends = [change.at for change in changes if change.state in SUCCEEDED]
    sent = sorted(accepted_at)
    measured = [
        Recovery(f"{KILL_WORKER}, to what it held being back", held.back(faults, KILL_WORKER)),
        Recovery(f"{KILL_WORKER}, to the end of what it held", held.end(faults, KILL_WORKER)),
        Recovery(f"{KILL_WORKER}, to the next completion", _next(faults, KILL_WORKER, ends)),
        Recovery("worker paused for longer than its lease, to what it held being back", held.back(long, PAUSE_WORKER)),
        Recovery(f"{KILL_SUPERVISOR}, to what its workers held being back", held.back(faults, KILL_SUPERVISOR)),
    ]
    for kind in (KILL_API, KILL_PRIMARY, PAUSE_PRIMARY):
        seconds = [_next_accepted(fault.at, sent) for fault in faults if fault.kind == kind]
        measured.append(Recovery(f"{kind}, to the next accepted submission", [s for s in seconds if s is not None]))
    return [one for one in measured if one.seconds]


class Held:
    """What each worker held, and when that went on."""

    def __init__(self, changes: Iterable[Change], worker_of: Mapping[int, str]) -> None:
        self._worker_of = worker_of
        self._by_id: dict[str, list[Change]] = defaultdict(list)
        self._leased: dict[str, set[str]] = defaultdict(set)
        for change in changes:
            self._by_id[change.id].append(change)
            if change.worker:
                self._leased[change.worker[:8]].add(change.id)

    def back(self, faults: Iterable[Fault], kind: str) -> list[float]:
        """For each worker that was struck and held anything: until all of that was in the queue, or settled."""
        return self._each(faults, kind, ("queued", "dead", *SUCCEEDED))

    def end(self, faults: Iterable[Fault], kind: str) -> list[float]:
        """Until all of it had ended."""
        return self._each(faults, kind, SUCCEEDED)

    def _each(self, faults: Iterable[Fault], kind: str, states: Sequence[str]) -> list[float]:
        struck = ((pid, fault.at) for fault in faults if fault.kind == kind for pid in fault.pids)
        return [seconds for pid, at in struck for seconds in self._until(pid, at, states)]

    def _until(self, pid: int, at: float, states: Sequence[str]) -> list[float]:
        worker = self._worker_of.get(pid, "?")
        moments = [self._first_after(id, at, states) for id in self._leased[worker] if self._holds(worker, id, at)]
        return [max(moments) - at] if moments else []

    def _holds(self, worker: str, id: str, at: float) -> bool:
        before = [change for change in self._by_id[id] if change.at <= at]
        return bool(before) and before[-1].worker.startswith(worker)

    def _first_after(self, id: str, at: float, states: Sequence[str]) -> float:
        moments = (change.at for change in self._by_id[id] if change.at > at and change.state in states)
        return next(moments, float("inf"))


def _next(faults: Iterable[Fault], kind: str, moments: Sequence[float]) -> list[float]:
    places = [(fault.at, bisect_right(moments, fault.at)) for fault in faults if fault.kind == kind]
    return [moments[place] - at for at, place in places if place < len(moments)]


def _next_accepted(at: float, sent: Sequence[tuple[float, float]]) -> float | None:
    """Until the first acceptance of what was sent after the fault: an earlier one may have been on its way."""
    answered = [answer for sending, answer in sent[bisect_right(sent, (at, float("inf"))) :]]
    return min(answered) - at if answered else None
