"""What was measured over a span of time, in steps, ready to be drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ..admin.measures import Point
from .window import Window

FAILED = ("dead", "rejected")
ENDED = ("done", "rejected", "dead", "cancelled")


@dataclass(frozen=True, slots=True)
class Span:
    """How far back, and in what steps."""

    words: str
    seconds: int
    step_seconds: int


SPANS: Mapping[str, Span] = {
    "1h": Span("1 hour", 3600, 60),
    "24h": Span("24 hours", 24 * 3600, 600),
    "7d": Span("7 days", 7 * 24 * 3600, 3600),
}
SPARK = Span("the last hour", 3600, 120)


def begin_of(span: Span, now: datetime) -> datetime:
    """Where the first whole step of a span that ends now begins."""
    began = now.timestamp() - span.seconds
    return datetime.fromtimestamp((began // span.step_seconds + 1) * span.step_seconds, UTC)


def points(window: Window, type: str | None, span: Span, now: datetime) -> list[Point]:
    """Every step of the span, those without figures too."""
    since = begin_of(span, now)
    found = window.shared.look(
        ("series", type, span), lambda: window.queue.measures.series(type, since, now, span.step_seconds)
    )
    return whole(found, since, span, now)


def whole(found: Sequence[Point], since: datetime, span: Span, now: datetime) -> list[Point]:
    """The points of a series, with empty ones where nothing was measured."""
    by_time = {point.at: point for point in found}
    number = max(1, round(span.seconds / span.step_seconds))
    times = [since + timedelta(seconds=span.step_seconds * step) for step in range(number)]
    return [by_time.get(at, Point(at, {})) for at in times if at <= now]


def plotted(series: Sequence[Point], span: Span) -> dict[str, list[Any]]:
    """The columns that a page draws: seconds since 1970, counts per minute, and seconds of waiting and running."""
    minutes = span.step_seconds / 60
    columns: dict[str, list[Any]] = {"at": [int(point.at.timestamp()) for point in series]}
    for name in ("accepted", "done"):
        columns[name] = [round(point.count(name) / minutes, 2) for point in series]
    columns["failed"] = [round(failed(point) / minutes, 2) for point in series]
    for histogram in ("wait", "run"):
        for share in (50, 95):
            columns[f"{histogram}{share}"] = [_rounded(point.quantile(histogram, share / 100)) for point in series]
    return columns


def failed(point: Point) -> float:
    """How many ended dead or rejected."""
    return sum(point.count(name) for name in FAILED)


def ended(point: Point) -> float:
    """How many ended, in whatever way."""
    return sum(point.count(name) for name in ENDED)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else float(f"{seconds:.4g}")
