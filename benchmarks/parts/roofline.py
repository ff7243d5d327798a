"""What MongoDB can do here with our documents and indexes: what all other parts are measured against."""

from __future__ import annotations

from collections.abc import Iterator

from .. import roofline
from ..measure import Row, alternate
from . import Run

PART = "roofline"
USERS = 1000
SETTLE, IN_SESSION = "settle deposits, 100 in one update", "the same, each update in a session"


def measure(run: Run) -> Iterator[Row]:
    noop = run.stage.template("bench.noop")
    deposit = run.stage.template("deposit")
    count = run.size(40_000, 1_000)
    samples = alternate(
        {
            "insert_many of 1,000": lambda: roofline.enqueue(run.stage, noop, count),
            "insert_many of 100": lambda: roofline.enqueue(run.stage, noop, count // 4, 100),
            "drain, a lease written on each": lambda: roofline.drain(run.stage, noop, count),
            "drain, lanes alone": lambda: roofline.drain(run.stage, noop, count, written=False),
            "deposits, 100 in a session": lambda: roofline.drain(
                run.stage, deposit, count // 2, users=USERS, ledger=True
            ),
            SETTLE: lambda: roofline.settle(run.stage, deposit, count // 4, users=USERS),
            IN_SESSION: lambda: roofline.settle(run.stage, deposit, count // 4, users=USERS, in_session=True),
        },
        run.rounds,
        run.tell,
    )
    for what, taken in samples.items():
        yield Row(part=PART, what=what, unit="transactions/s", samples=taken)
