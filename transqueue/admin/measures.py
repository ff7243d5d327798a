"""What is measured: counts and histograms by transaction type, added up in memory and written once in a while.

A figure has a flat name: a count such as `accepted` or `done`, or one of a histogram's, such as `wait.3` (how many fell
into its fourth bucket) and `wait.sum` (their seconds). So figures of any two processes, minutes or types can be added.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import repeat
from threading import Lock
from typing import Protocol

FLUSH_SECONDS = 3.0  # between two writes of a process; what a lost one may lose
ALL = "*"  # all types together
COUNTED = 10_000  # of one type and state: how many more there are is not counted for whoever looks on
ACCEPTED = "accepted"
OUTCOMES = ("done", "rejected", "retried", "dead", "cancelled")
DEATHS, STARTS, LAPSES = "worker_deaths", "worker_starts", "leases_lapsed"

# Seconds. `wait`: from due to leased; `held`: from leased to settled; `run`: one call of a handler.
HISTOGRAMS = ("wait", "held", "run")
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)

Figures = Mapping[str, float]

_NAMES = {one: [f"{one}.{number}" for number in range(len(BUCKETS) + 1)] for one in HISTOGRAMS}
_SUMS = {one: f"{one}.sum" for one in HISTOGRAMS}

_HEARD = {"worker.spawned": STARTS, "worker.died": DEATHS}


class Named(Protocol):
    """Anything with a name, such as an event."""

    @property
    def name(self) -> str: ...


class Tally:
    """Counts of one process since they were last taken. Safe for use by many threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._by_type: dict[str, Counter[str]] = {}

    def add(self, type: str, figure: str, count: float = 1) -> None:
        """Count something of a type."""
        with self._lock:
            self._figures(type)[figure] += count  # type: ignore[assignment]

    def observe(self, type: str, *observed: float, histogram: str) -> None:
        """Put spans of seconds into a histogram; one below nothing counts as nothing."""
        self.observe_many(type, zip(observed, repeat(1)), histogram=histogram)

    def observe_many(self, type: str, observed: Iterable[tuple[float, int]], *, histogram: str) -> None:
        """As `observe`, each span so many times."""
        with self._lock:
            figures, names, total = self._figures(type), _NAMES[histogram], 0.0
            for seconds, times in observed:
                figures[names[bisect_left(BUCKETS, seconds)]] += times
                total += seconds * times if seconds > 0 else 0.0
            figures[_SUMS[histogram]] += total  # type: ignore[assignment]

    def heard(self, event: Named) -> None:
        """Count an event of a supervisor: for `Events.listen`."""
        if event.name in _HEARD:
            self.add(ALL, _HEARD[event.name])

    def take(self) -> Mapping[str, Figures]:
        """The figures by type, which start at nothing again."""
        with self._lock:
            taken, self._by_type = self._by_type, {}
        return taken

    def put_back(self, taken: Mapping[str, Figures]) -> None:
        """What was taken could not be written."""
        with self._lock:
            for type, figures in taken.items():
                self._figures(type).update(figures)

    def _figures(self, type: str) -> Counter[str]:
        figures = self._by_type.get(type)
        return self._by_type.setdefault(type, Counter()) if figures is None else figures


@dataclass(frozen=True, slots=True)
class Point:
    """What happened in one step of time from `at` on."""

    at: datetime
    figures: Figures

    def count(self, figure: str) -> float:
        """How many, such as of `done`; none is 0."""
        return self.figures.get(figure, 0)

    def quantile(self, histogram: str, share: float) -> float | None:
        """The seconds that a share (0.5, 0.95) of what was observed stayed below; none without any."""
        return quantile(self.figures, histogram, share)


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """How many of a type wait, run, or are dead.

    Attributes:
        due: those queued that could start now.
        oldest_due_at: since when the longest due one has been due; none is due: none.
    """

    queued: int = 0
    due: int = 0
    running: int = 0
    dead: int = 0
    oldest_due_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Depths:
    """The depths by type as they were at one moment, some seconds ago at most while anything runs."""

    at: datetime
    types: Mapping[str, Depth]


class Measures(ABC):
    """What a queue knows of its own past and present, without looking through its transactions.

    Attributes:
        tally: where this process adds up what it does.
    """

    tally: Tally

    @abstractmethod
    def totals(self) -> Mapping[str, Figures]:
        """The figures by type of all processes since the database was made; they never fall."""

    @abstractmethod
    def series(self, type: str | None, since: datetime, until: datetime, step_seconds: int) -> Sequence[Point]:
        """The figures of a type, or of all, in steps that begin at `since`, those without any left out.

        Steps are whole minutes. What is asked of whole hours is kept for longer.
        """

    @abstractmethod
    def depths(self) -> Depths:
        """How much waits, by type."""


def added(all_figures: Iterable[Figures]) -> Figures:
    """The sum of several figures, name by name."""
    total: dict[str, float] = {}
    for figures in all_figures:
        for name, count in figures.items():
            total[name] = total.get(name, 0) + count
    return total


def cumulated(figures: Figures, histogram: str) -> list[float]:
    """How many were observed up to each bucket's end, and at last in all."""
    counts: list[float] = []
    for number in range(len(BUCKETS) + 1):
        counts.append(figures.get(f"{histogram}.{number}", 0) + (counts[-1] if counts else 0))
    return counts


def quantile(figures: Figures, histogram: str, share: float) -> float | None:
    """As `Point.quantile`; what lies within a bucket is taken to be spread evenly."""
    counts = cumulated(figures, histogram)
    if not counts[-1]:
        return None
    rank = share * counts[-1]
    number = next(number for number, count in enumerate(counts) if count >= rank)
    if number == len(BUCKETS):
        return BUCKETS[-1]
    below = counts[number - 1] if number else 0.0
    low = BUCKETS[number - 1] if number else 0.0
    inside = counts[number] - below
    return low + (BUCKETS[number] - low) * ((rank - below) / inside if inside else 1.0)


def steps(rows: Iterable[tuple[datetime, Figures]], since: datetime, step_seconds: int) -> list[Point]:
    """Rows of figures put together into steps of so many seconds from `since` on."""
    found: dict[int, list[Figures]] = {}
    for at, figures in rows:
        found.setdefault(int((at - since).total_seconds() // step_seconds), []).append(figures)
    step = timedelta(seconds=step_seconds)
    return [Point(since + number * step, added(figures)) for number, figures in sorted(found.items())]
