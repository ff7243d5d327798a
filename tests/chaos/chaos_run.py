"""One run: start everything, inject faults while clients submit, let it drain, judge what is there."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import chaos_windows as windows
from answers import Answers
from checker import Evidence, Finding, check, gather
from clients import Clients
from history import History
from injections import KILL_WORKER, PAUSE_WORKER, Faults
from operators import Operator
from parties import DATABASE, SUPERVISORS, WORKERS_EACH, Parties
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from recovery import Recovery, recoveries
from replica_set import ReplicaSet

READY_SECONDS = 60.0
STOP_SECONDS = 30.0
OPEN_STATES = ("queued", "running", "dead")


@dataclass(frozen=True, slots=True)
class Options:
    """What a run is to be like."""

    seconds: float = 60.0
    nodes: int = 1
    seed: int = 1
    clients: int = 6
    every_seconds: float = 1.0
    patience_seconds: float = 0.0
    drain_seconds: float = 120.0
    alarm: bool = True
    mutant: str = ""
    folder: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What came of it."""

    options: Options
    faults: Counter[str]
    windows: dict[str, tuple[int, int]]  # how often a kill, and a pause, hit it
    missed: list[str]
    recoveries: list[Recovery]
    findings: list[Finding]
    states: Counter[str]
    answers: Counter[str]
    retried: Counter[str]
    events: Counter[str]
    remarks: list[str]
    drained_after: float

    @property
    def exit_code(self) -> int:
        """1: a check is violated; 2: the run proves nothing, because it missed a window; 0: well."""
        if any(finding.wrong for finding in self.findings):
            return 1
        return 2 if self.missed else 0


class ChaosRun:
    """Use it in a `with`, from the main thread: what it starts dies with that thread."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self.folder = Path(options.folder or tempfile.mkdtemp(prefix="transqueue-chaos-"))
        self.folder.mkdir(parents=True, exist_ok=True)
        self._keep = False
        self._database = ReplicaSet(self.folder, options.nodes)
        self._parties = Parties(self.folder, self._database.uri, alarm=options.alarm, mutant=options.mutant)
        self._answers = Answers()
        self._history = History(self._database.uri)
        self._operator = Operator(self._database.uri, self._parties.url)
        self._clients = Clients(
            self._parties.url,
            self._answers,
            threads=options.clients,
            seed=options.seed,
            backlog=lambda: len(self._answers.ids) - len(self._history.ended),
        )
        self._faults = Faults(
            self._parties, self._database, seed=options.seed, every_seconds=options.every_seconds, alarm=options.alarm
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clients.stop()
        self._parties.close()
        self._database.close()
        if not (error or self._keep or self._options.folder):
            shutil.rmtree(self.folder)

    def run(self) -> Report:
        """The whole run."""
        self._start()
        self._faults.run(self._options.seconds, self._options.patience_seconds)
        self._clients.stop()
        drained_after = self._drain()
        self._history.close()
        self._operator.close()
        left = self._parties.stop(STOP_SECONDS)
        self._leave_traces()
        report = self._judge(drained_after, [f"{name} did not end in good order" for name in left])
        self._keep = report.exit_code == 1
        return report

    def _start(self) -> None:
        self._database.start()
        self._parties.start()
        self._until(lambda: len(self._parties.workers()) == SUPERVISORS * WORKERS_EACH, READY_SECONDS)
        self._history.start()
        self._history.until_listening()
        self._operator.start()
        self._clients.start()
        self._until(lambda: len(self._history.ended) > 20, READY_SECONDS)

    def _drain(self) -> float:
        """Wait until every submission is answered and every transaction has ended; the seconds it took."""
        began = time.monotonic()
        self._until(lambda: self._clients.have_ended() and self._nothing_open(), self._options.drain_seconds)
        return time.monotonic() - began

    def _nothing_open(self) -> bool:
        try:
            with MongoClient[dict[str, Any]](self._database.uri, timeoutMS=3000) as client:
                return client[DATABASE]["Q"].find_one({"state": {"$in": OPEN_STATES}}) is None
        except PyMongoError:
            return False

    def _until(self, condition: Any, seconds: float) -> None:
        """Keep everything running until something is so; after the limit go on, and let the checks tell."""
        limit = time.monotonic() + seconds
        while not condition() and time.monotonic() < limit:
            self._faults.keep_until(time.monotonic() + 0.1)

    def _judge(self, drained_after: float, remarks: list[str]) -> Report:
        with MongoClient[dict[str, Any]](self._database.uri, tz_aware=True, readConcernLevel="majority") as client:
            evidence = gather(client[DATABASE], self._answers, self.folder)
        events = list(self._parties.events())
        spawned = {event["pid"]: event["worker"] for event in events if event["event"] == "worker.spawned"}
        return Report(
            options=self._options,
            faults=Counter(fault.kind for fault in self._faults.happened),
            windows=_hits(self._faults),
            missed=self._faults.missed if self._options.alarm else _fence_missed(events),
            recoveries=recoveries(self._faults.happened, self._history.changes, self._answers.accepted_at, spawned),
            findings=check(evidence, overlaps_forbidden=self._options.alarm),
            states=Counter(f"{row['type']} {row['state']}" for row in evidence.transactions.values()),
            answers=self._answers.counts + Counter(_side_effects(evidence)),
            retried=self._operator.retried,
            events=Counter(event["event"] for event in events),
            remarks=[*remarks, *self._ended_by_itself(), *self._parties.tracebacks()],
            drained_after=drained_after,
        )

    def _leave_traces(self) -> None:
        """For whoever looks into a run afterwards: what happened to what, when."""
        begin = self._history.changes[0].at if self._history.changes else 0.0
        traces: dict[str, Sequence[Any]] = {"history": self._history.changes, "faults": self._faults.happened}
        for name, rows in traces.items():
            told = (json.dumps({**asdict(row), "at": round(row.at - begin, 3)}) + "\n" for row in rows)
            (self.folder / f"{name}.ndjson").write_text("".join(told))

    def _ended_by_itself(self) -> list[str]:
        return [
            f"{party.name} ended by itself, exit code {code}, {count} times"
            for party in self._parties.all
            for code, count in Counter(party.ended_by_itself).items()
        ]


def _fence_missed(events: Sequence[Mapping[str, Any]]) -> list[str]:
    """Without alarms, a run is for workers that settle what is not theirs any more."""
    return [] if any(event["event"] == "lease.lost" for event in events) else ["a lease lost"]


def _hits(faults: Faults) -> dict[str, tuple[int, int]]:
    kills, pauses = faults.windows(KILL_WORKER), faults.windows(PAUSE_WORKER)
    return {window: (kills[window], pauses[window]) for window in windows.ALL}


def _side_effects(evidence: Evidence) -> dict[str, int]:
    repeated = evidence.effects.total() - len(evidence.effects)
    return {"outside effects repeated": repeated, "overlapping runs": evidence.overlaps.total()}
