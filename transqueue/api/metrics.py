"""GET /metrics: the measures of all processes and hosts, as Prometheus reads them.

Whatever is counted lies in the database, so each API answers the same, and a counter never falls when a process ends.
One answer costs a few small reads, whatever the size of Q.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime

from flask import Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from ..admin.crew import LiveWorker
from ..admin.measures import (
    ACCEPTED,
    ALL,
    BUCKETS,
    DEATHS,
    HISTOGRAMS,
    LAPSES,
    OUTCOMES,
    STARTS,
    Depths,
    Figures,
    cumulated,
)
from ..admin.pause import Pause
from ..admin.report import ProcessReport
from ..plugins import PluginState
from ..queue import TransactionQueue

TEXT = CONTENT_TYPE_PLAIN_0_0_4

_HISTOGRAMS = {
    "wait": ("transqueue_wait_seconds", "From the time a transaction was due until a worker leased it"),
    "held": ("transqueue_lease_seconds", "From the lease of a transaction until it was settled"),
    "run": ("transqueue_handler_seconds", "One call of a handler"),
}
_WORKERS = {
    STARTS: ("transqueue_worker_starts", "Worker processes spawned"),
    DEATHS: ("transqueue_worker_deaths", "Worker processes that died"),
    LAPSES: ("transqueue_leases_lapsed", "Leases of workers that lapsed"),
}


class Metrics:
    """Answers Prometheus."""

    def __init__(
        self,
        queue: TransactionQueue,
        states: Callable[[], Sequence[PluginState]],
        reports: Callable[[], Sequence[ProcessReport]],
    ) -> None:
        self._queue, self._states, self._reports = queue, states, reports

    def show(self) -> Response:
        """All metrics in the text format."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Asked(self._metrics))
        return Response(generate_latest(registry), content_type=TEXT)

    def _metrics(self) -> Iterator[Metric]:
        measures, workers = self._queue.measures, self._queue.workers()
        totals = measures.totals()
        types = {type: figures for type, figures in totals.items() if type != ALL}
        yield from _counters(types)
        yield from (_histogram(name, types) for name in HISTOGRAMS)
        for figure, (name, words) in _WORKERS.items():
            yield CounterMetricFamily(name, words, value=totals.get(ALL, {}).get(figure, 0))
        yield from _depths(measures.depths())
        yield _alive(workers)
        yield _plugins(self._states(), self._reports(), workers)
        yield _paused(self._queue.paused())


class _Asked(Collector):
    def __init__(self, ask: Callable[[], Iterator[Metric]]) -> None:
        self._ask = ask

    def collect(self) -> Iterator[Metric]:
        return self._ask()


def _counters(types: Mapping[str, Figures]) -> Iterator[Metric]:
    accepted = CounterMetricFamily("transqueue_accepted", "Transactions accepted", labels=["type"])
    settled = CounterMetricFamily(
        "transqueue_settled", "Attempts and transactions ended, by outcome", labels=["type", "outcome"]
    )
    for type, figures in types.items():
        accepted.add_metric([type], figures.get(ACCEPTED, 0))
        for outcome in OUTCOMES:
            settled.add_metric([type, outcome], figures.get(outcome, 0))
    yield accepted
    yield settled


def _histogram(histogram: str, types: Mapping[str, Figures]) -> Metric:
    family = HistogramMetricFamily(*_HISTOGRAMS[histogram], labels=["type"])
    bounds = [*(f"{bound:g}" for bound in BUCKETS), "+Inf"]
    for type, figures in types.items():
        counts = cumulated(figures, histogram)
        if counts[-1]:
            buckets = list(zip(bounds, counts, strict=True))
            family.add_metric([type], buckets, figures.get(f"{histogram}.sum", 0))
    return family


def _depths(depths: Depths) -> Iterator[Metric]:
    states = GaugeMetricFamily(
        "transqueue_depth", "Transactions that have not left, by state", labels=["type", "state"]
    )
    due = GaugeMetricFamily("transqueue_due", "Queued transactions that could start now", labels=["type"])
    oldest = GaugeMetricFamily("transqueue_oldest_wait_seconds", "How long the longest due has waited", labels=["type"])
    for type, depth in depths.types.items():
        for state, count in (("queued", depth.queued), ("running", depth.running), ("dead", depth.dead)):
            states.add_metric([type, state], count)
        due.add_metric([type], depth.due)
        oldest.add_metric([type], _age(depth.oldest_due_at, depths.at))
    yield from (states, due, oldest)
    moment = GaugeMetricFamily("transqueue_depth_counted_timestamp_seconds", "When the depths were counted")
    moment.add_metric([], depths.at.timestamp())
    yield moment


def _alive(workers: Sequence[LiveWorker]) -> Metric:
    family = GaugeMetricFamily("transqueue_workers", "Workers whose lease is held", labels=["host"])
    for host in sorted({worker.host for worker in workers}):
        family.add_metric([host], sum(worker.host == host for worker in workers))
    if not workers:
        family.add_metric([""], 0)
    return family


def _plugins(states: Sequence[PluginState], reports: Sequence[ProcessReport], workers: Sequence[LiveWorker]) -> Metric:
    """By role, of the processes of all hosts: 1 works in each of them, 0 is broken or missing in any."""
    family = GaugeMetricFamily("transqueue_plugin_up", "Whether an enabled plugin works", labels=["plugin", "role"])
    told = [("api", state.name, state.state == "ok") for state in states if state.state != "disabled"]
    told += [("worker", name, name not in worker.broken) for worker in workers for _, name, _ in list(told)]
    for report in reports:
        told += [(report.role, name, plugin["state"] == "ok") for name, plugin in report.plugins.items()]
    works: dict[tuple[str, str], bool] = {}
    for role, name, works_there in told:
        works[name, role] = works.get((name, role), True) and works_there
    for labels, value in sorted(works.items()):
        family.add_metric(labels, float(value))
    return family


def _paused(paused: Mapping[str, Pause]) -> Metric:
    family = GaugeMetricFamily("transqueue_type_paused", "Types and families that are paused", labels=["type"])
    for type in paused:
        family.add_metric([type], 1)
    return family


def _age(since: datetime | None, now: datetime) -> float:
    return max(0.0, (now - since).total_seconds()) if since else 0.0
