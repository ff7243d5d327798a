"""How long fresh processes take to start: an author's kit to its first submission, and the command line."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial

from ..measure import Row, Sample, Target, alternate
from . import Run

PART = "start"
LIBRARIES = "import flask, marshmallow"
SUBMIT = """
from transqueue import handler
from transqueue.testing import Kit

@handler("greet")
def greet(transaction, context):
    return None

with Kit(provides={"greet": [greet]}) as kit:
    kit.submit("greet", {})
"""
CODE = {
    LIBRARIES: LIBRARIES,
    "a kit, to its first submission": SUBMIT,
    "transqueue --help": "from transqueue.cli import main; main(['--help'])",
}
TARGETS = {"a kit, to its first submission": Target(0.5, at_most=True)}


def measure(run: Run) -> Iterator[Row]:
    for code in CODE.values():  # once, so that what is measured finds compiled files
        _started(code)
    contenders = {what: partial(_started, code) for what, code in CODE.items()}
    samples = alternate(contenders, run.size(10, 1), run.tell)
    for what in CODE:
        yield Row(part=PART, what=what, unit="s of a processor", samples=samples[what], target=TARGETS.get(what))
    for what in list(CODE)[1:]:
        yield Row(
            part=PART,
            what=f"{what}, against its libraries",
            unit="s of a processor",
            samples=samples[what],
            reference=LIBRARIES,
            reference_samples=samples[LIBRARIES],
        )


def _started(code: str) -> Sample:
    """From the start of the interpreter to its end: what it took of a processor, and of the day."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Sample(used, {"s by the clock": time.perf_counter() - began})
