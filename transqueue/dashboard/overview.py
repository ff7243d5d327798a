"""The first page: is all well, is it keeping up, and what to look at if not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from ..admin.measures import ALL, Depth, Point, added
from ..admin.pause import Pause, pause_of
from . import trend
from .query import Arguments, choice
from .sparkline import sparkline
from .window import Window
from .words import span

SOON_SECONDS, LATE_SECONDS = 5.0, 30.0  # an oldest wait below these is no sign of trouble
RECENT = timedelta(minutes=10)
TYPES_SHOWN = 50
CAUSES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether it keeps up: `good`, `warn` or `bad`, in one sentence."""

    level: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeRow:
    """One type in the table."""

    type: str
    plugin: str
    state: str
    depth: Depth
    oldest_seconds: float | None
    accepted: float
    ended: float
    failed: float
    run50: float | None
    run95: float | None
    spark: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Per minute over the last ten, and failures of the last hour."""

    accepted: float
    ended: float
    failed_hour: float


@dataclass(frozen=True, slots=True)
class Reading:
    """The figures of the last hour, of all and by type."""

    all: Sequence[Point]
    by_type: Mapping[str, Sequence[Point]] = field(default_factory=dict)


def overview(window: Window, arguments: Arguments, now: datetime) -> dict[str, Any]:
    """Everything that the overview shows."""
    queue, shared = window.queue, window.shared
    depths = shared.look("depths", queue.measures.depths)
    workers = shared.look("workers", queue.workers)
    paused = shared.look("paused", queue.paused)
    parts = shared.look("parts", queue.parts.here)
    causes = shared.look("latest", lambda: queue.failures.groups(recent=timedelta(hours=1), most=CAUSES_SHOWN))
    reading = shared.look("reading", lambda: _reading(window, now))
    rows = [
        _row(window, type, depths.types.get(type, Depth()), reading, paused, now) for type in _types(window, depths)
    ]
    oldest = max((row.oldest_seconds for row in rows if row.oldest_seconds and row.state == "ok"), default=None)
    rates = rates_of(reading.all, now)
    return {
        "verdict": verdict(rates, oldest, workers=len(workers), due=sum(one.due for one in depths.types.values())),
        "rates": rates,
        "oldest": oldest,
        "queued": sum(one.queued for one in depths.types.values()),
        "due": sum(one.due for one in depths.types.values()),
        "running": sum(one.running for one in depths.types.values()),
        "dead": sum(one.dead for one in depths.types.values()),
        "workers": len(workers),
        "hosts": len({worker.host for worker in workers}),
        "broken": broken_plugins(window),
        "refused": [part for part in parts if part.reload and not part.reload.well],
        "paused": paused,
        "parked": [row for row in rows if row.state == "parked" and row.depth.queued],
        "rows": rows[:TYPES_SHOWN],
        "more_types": max(0, len(rows) - TYPES_SHOWN),
        "causes": causes,
        "span": choice(arguments, "span", trend.SPANS, "1h"),
        "spans": trend.SPANS,
    }


def rates_of(points: Sequence[Point], now: datetime) -> Rates:
    """What came in and went out per minute of late, by the points of the last hour."""
    recent = [point for point in points if point.at >= now - RECENT]
    minutes = max(1.0, (now - recent[0].at).total_seconds() / 60) if recent else 1.0
    return Rates(
        accepted=sum(point.count("accepted") for point in recent) / minutes,
        ended=sum(trend.ended(point) for point in recent) / minutes,
        failed_hour=sum(trend.failed(point) for point in points),
    )


def verdict(rates: Rates, oldest: float | None, *, workers: int, due: int) -> Verdict:
    """Whether it keeps up, by what waits and what moves."""
    if not workers:
        level = "bad" if due else "warn"
        return Verdict(level, "Nothing is processed: no worker is alive. Start some with `transqueue up` or `work`.")
    if oldest is None or oldest < SOON_SECONDS:
        return Verdict("good", "It keeps up: what is due starts at once.")
    if oldest < LATE_SECONDS:
        return Verdict("good", f"It keeps up: what is due starts within {span(oldest)}.")
    if rates.ended > rates.accepted:
        return Verdict("warn", "It is catching up: more ends than comes in.")
    if rates.ended < rates.accepted:
        return Verdict("bad", "It falls behind: more comes in than ends. More workers would help.")
    return Verdict("warn", "Some of what is due has been waiting for long.")


def broken_plugins(window: Window) -> list[Any]:
    """The plugins that are broken or missing in this process."""
    return [state for state in window.table.states() if state.state in ("broken", "missing")]


def state_of(window: Window, type: str, paused: Mapping[str, Pause]) -> str:
    """`ok`, `paused` or `parked`."""
    if pause_of(type, paused):
        return "paused"
    return "ok" if window.table.resolve(type) else "parked"


def _types(window: Window, depths: Any) -> list[str]:
    """Every claimed type, and those of which something is stored: those with most to do first."""
    known = {type for type in window.table.types() if not type.endswith(".*")} | set(depths.types)

    def weight(type: str) -> tuple[int, str]:
        depth = depths.types.get(type, Depth())
        return (-(depth.queued + depth.running + depth.dead), type)

    return sorted(known, key=weight)


def _reading(window: Window, now: datetime) -> Reading:
    since = trend.begin_of(trend.SPARK, now)
    found = window.queue.measures.by_type(since, now, trend.SPARK.step_seconds)
    filled = {type: trend.whole(points, since, trend.SPARK, now) for type, points in found.items()}
    return Reading(filled.pop(ALL, trend.whole([], since, trend.SPARK, now)), filled)


def _row(
    window: Window, type: str, depth: Depth, reading: Reading, paused: Mapping[str, Pause], now: datetime
) -> TypeRow:
    points = reading.by_type.get(type, [])
    figures = added(point.figures for point in points)
    whole = Point(now, figures)
    handler = window.table.resolve(type)
    bad = [trend.failed(point) for point in points]
    rates = rates_of(points, now)
    return TypeRow(
        type=type,
        plugin=handler.plugin if handler else "",
        state=state_of(window, type, paused),
        depth=depth,
        oldest_seconds=max(0.0, (now - depth.oldest_due_at).total_seconds()) if depth.oldest_due_at else None,
        accepted=rates.accepted,
        ended=rates.ended,
        failed=sum(bad),
        run50=whole.quantile("run", 0.5),
        run95=whole.quantile("run", 0.95),
        spark=sparkline([point.count("done") for point in points], bad, f"{type}: what ended in the last hour"),
    )
