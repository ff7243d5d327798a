"""Many seeds, on all cores, and what they came to together."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .world import Report, simulate

HERE = Path(__file__).parent
COLLECT_EVERY = 5  # seeds: what each leaves goes in circles; seldom enough, and while it is still in the cache


@dataclass
class Summary:
    """What a range of seeds came to.

    Attributes:
        breaches: by seed, the promise that was broken.
        digest: of everything that happened in them, whatever the order they were run in.
        hits: how often each fault was met, and each end.
        flags: what was asked for besides, as it is written on the line.
    """

    seeds: int = 0
    events: int = 0
    digest: int = 0
    seconds: float = 0.0
    processor_seconds: float = 0.0
    simulated_seconds: float = 0.0
    breaches: dict[int, str] = field(default_factory=dict)
    hits: dict[str, int] = field(default_factory=dict)
    flags: str = ""

    def add(self, report: Report) -> None:
        """Count one more seed."""
        self.seeds += 1
        self.events += report.events
        self.digest = (self.digest + report.digest) % (1 << 32)
        self.simulated_seconds += report.seconds
        for name, count in report.hits.items():
            self.hits[name] = self.hits.get(name, 0) + count
        if report.breach:
            self.breaches[report.seed] = report.breach

    def told(self) -> str:
        """The breaches, each with the command that runs it again, and the figures."""
        lines = [
            f"{breach}\n    run it again: python tests/simulation --seed {seed} --trace{self.flags}"
            for seed, breach in sorted(self.breaches.items())
        ]
        hits = ", ".join(f"{name} {count}" for name, count in sorted(self.hits.items()))
        return "\n".join([*lines, f"{len(self.breaches)} broken of {self.figures}", hits])

    @property
    def figures(self) -> str:
        """How many, and how long it took."""
        took = f"{self.seconds:.0f} s ({self.processor_seconds:.0f} s of processor)"
        return f"{self.seeds} seeds in {took}: {self.events} events, {self.simulated_seconds:.0f} s simulated"


def run_seeds(seeds: Sequence[int], *, cruel: bool = False) -> Summary:
    """Run them here, one after the other."""
    summary, began = Summary(), time.monotonic()
    with _seldom_collected():
        for seed in seeds:
            summary.add(report_of(seed, cruel=cruel))
            if summary.seeds % COLLECT_EVERY == 0:
                gc.collect()
    summary.seconds, summary.processor_seconds = time.monotonic() - began, time.process_time()
    return summary


@contextmanager
def _seldom_collected() -> Iterator[None]:
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def report_of(seed: int, *, cruel: bool = False) -> Report:
    """One seed's report; a defect that was raised is a breach like any other."""
    try:
        return simulate(seed, cruel=cruel)
    except Exception as error:
        return Report(seed, breach=f"{type(error).__name__}: {error}")


def run_on_all_cores(first: int, count: int, cores: int | None = None) -> Summary:
    """Run seeds in processes of their own.

    Raises:
        RuntimeError: one of the processes failed.
    """
    cores, began = cores or os.cpu_count() or 1, time.monotonic()
    # Without column numbers in tracebacks, which the outcome of a handler that raises would be spelled out with.
    command = [sys.executable, "-X", "no_debug_ranges", str(HERE), "--json", "--step", str(cores), "--count"]
    parts = [len(range(first + core, first + count, cores)) for core in range(cores)]
    running = [
        subprocess.Popen([*command, str(part), "--first", str(first + core)], stdout=subprocess.PIPE, text=True)
        for core, part in enumerate(parts)
    ]
    summary = Summary()
    for process in running:
        out, _ = process.communicate()
        if process.returncode not in (0, 1):
            raise RuntimeError(f"a part of the simulation ended with exit code {process.returncode}")
        part = json.loads(out)
        summary.seeds += part["seeds"]
        summary.events += part["events"]
        summary.digest = (summary.digest + part["digest"]) % (1 << 32)
        summary.simulated_seconds += part["simulated_seconds"]
        summary.processor_seconds += part["processor_seconds"]
        summary.hits = dict(Counter(summary.hits) + Counter(part["hits"]))
        summary.breaches.update({int(seed): breach for seed, breach in part["breaches"].items()})
    summary.seconds = time.monotonic() - began
    return summary
