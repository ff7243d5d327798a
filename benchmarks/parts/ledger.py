"""Deposits, exactly once, through the ledger plugin, beside sessions of 100 in plain PyMongo."""

from __future__ import annotations

from collections.abc import Iterator

from .. import draining, roofline
from ..measure import Row, Target, alternate
from . import Run

PART = "ledger"
USERS = 1000
RAW, UNIFORM, HOT = "100 in a session, plain PyMongo", f"deposits, {USERS:,} users", "deposits, one hot user"
RAW_HOT = "100 in a session, one user, by one process, plain PyMongo"


def measure(run: Run) -> Iterator[Row]:
    deposit = run.stage.template("deposit")
    count = run.size(20_000, 50)
    samples = alternate(
        {
            RAW: lambda: roofline.drain(run.stage, deposit, count, users=USERS, ledger=True),
            UNIFORM: lambda: draining.drain(run.stage, deposit, count, users=USERS),
            HOT: lambda: draining.drain(run.stage, deposit, count),
            RAW_HOT: lambda: roofline.drain(run.stage, deposit, count, ledger=True, processes=1),
        },
        run.rounds,
        run.tell,
    )
    yield Row(part=PART, what=RAW, unit="transactions/s", samples=samples[RAW])
    for what, against, target in (
        (UNIFORM, RAW, Target(0.7)),
        (HOT, UNIFORM, Target(0.8)),
        (RAW_HOT, RAW, None),
        (HOT, RAW_HOT, None),
    ):
        yield Row(
            part=PART,
            what=what,
            unit="transactions/s",
            samples=samples[what],
            reference=against,
            reference_samples=samples[against],
            target=target,
        )
