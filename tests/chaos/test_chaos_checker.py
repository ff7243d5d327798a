"""The checker of the chaos run notices everything it is there for: a database is doctored, one thing at a time."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from answers import Answers, Submission
from bson import Decimal128, Timestamp
from checker import check, gather
from pymongo import MongoClient

ANSWERED = "every submission got a definite, well-formed answer"
ONE_ID = "one id per idempotency key, one key per id"
STORED = "accepted = stored"
ENDED = "accepted = ended"
LEDGER = "each transaction is in Ledger once, as accepted"
BALANCES = "balance = ledger = sum of accepted"
ORDER = "each key in the order accepted, no gap, no repeat"
EFFECTS = "outside effects at least once"
OVERLAPS = "no two runs of one transaction at a time"

DEPOSIT, TRANSFER, REJECTED, FIRST, SECOND, THIRD, NOTE = (f"{number:021}" for number in range(1, 8))
SUBMITTED: list[tuple[str, str, dict[str, Any], str]] = [
    (DEPOSIT, "deposit", {"username": "ann", "value": Decimal("150.000000000000000001")}, "done"),
    (TRANSFER, "transfer", {"from": "ann", "to": "bob", "value": Decimal("50.1")}, "done"),
    (REJECTED, "transfer", {"from": "bob", "to": "ann", "value": Decimal(900)}, "rejected"),
    (FIRST, "probe.step", {"key": "k", "client": 1, "number": 1}, "done"),
    (SECOND, "probe.step", {"key": "k", "client": 2, "number": 1}, "done"),
    (THIRD, "probe.step", {"key": "k", "client": 1, "number": 2}, "done"),
    (NOTE, "probe.note", {"number": 1}, "done"),
]


class Deployment:
    """What a run left behind: a database, the answers, and the traces of the probe."""

    def __init__(self, database: Any, folder: Path) -> None:
        self.database, self.folder, self.answers = database, folder, Answers()
        for place, (id, type, data, state) in enumerate(SUBMITTED, start=1):
            self._accept(place, id, Submission(f"key of {id}", 1, type, data), state)
        self.enter(f"{DEPOSIT}:0", "ann", "150.000000000000000001")
        self.enter(f"{TRANSFER}:0", "ann", "-50.1")
        self.enter(f"{TRANSFER}:1", "bob", "50.1")
        self.database["Bank"].insert_one({"_id": "ann", "value": Decimal128("99.900000000000000001")})
        self.database["Bank"].insert_one({"_id": "bob", "value": Decimal128("50.1")})
        self.steps(FIRST, SECOND, THIRD)
        (folder / "effects").write_text(f"{NOTE}\n")

    def _accept(self, place: int, id: str, submission: Submission, state: str) -> None:
        self.answers.sends(submission)
        self.answers.accepted(submission, id, sent=0.0, answered=0.0, replayed=False)
        row = {"_id": id, "type": submission.type, "state": state, "accepted": Timestamp(place, 1)}
        keyed = {"ordering_key": submission.data["key"]} if "key" in submission.data else {}
        self.database["Q"].insert_one(row | keyed | {"idempotency": {"key": submission.key}})

    def enter(self, id: str, username: str, value: str) -> None:
        self.database["Ledger"].insert_one({"_id": id, "username": username, "value": Decimal128(value)})

    def steps(self, *ids: str) -> None:
        data_of = {id: data for id, _, data, _ in SUBMITTED}
        entries = [{"id": id, **data_of[id]} for id in ids]
        self.database["Steps"].replace_one({"_id": "k"}, {"entries": entries}, upsert=True)

    def add(self, username: str, value: str) -> None:
        self.database["Bank"].update_one({"_id": username}, {"$inc": {"value": Decimal128(value)}})

    def state(self, id: str, state: str) -> None:
        self.database["Q"].update_one({"_id": id}, {"$set": {"state": state}})

    def wrong(self) -> dict[str, list[str]]:
        """What is wrong, by the check that says so."""
        findings = check(gather(self.database, self.answers, self.folder))
        return {finding.check: list(finding.wrong) for finding in findings if finding.wrong}


@pytest.fixture
def deployment(mongo_client: MongoClient[dict[str, Any]], mongo_database: str, tmp_path: Path) -> Deployment:
    """One in which everything is right."""
    return Deployment(mongo_client[mongo_database], tmp_path)


def test_what_is_right_passes_every_check(deployment: Deployment) -> None:
    assert deployment.wrong() == {}


Doctor = Callable[[Deployment], Any]
DOCTORED: dict[str, tuple[Doctor, set[str]]] = {
    "an entry removed": (lambda d: d.database["Ledger"].delete_one({"_id": f"{TRANSFER}:1"}), {LEDGER, BALANCES}),
    "an entry doubled": (lambda d: d.enter(f"{DEPOSIT}:1", "ann", "150.000000000000000001"), {LEDGER, BALANCES}),
    "an entry doubled, and the balance with it": (
        lambda d: (d.enter(f"{DEPOSIT}:1", "ann", "150"), d.add("ann", "150")),
        {LEDGER, BALANCES},
    ),
    "a deposit that left no trace": (
        lambda d: (d.database["Ledger"].delete_one({"_id": f"{DEPOSIT}:0"}), d.add("ann", "-150.000000000000000001")),
        {LEDGER, BALANCES},
    ),
    "an entry of a rejected transfer": (lambda d: d.enter(f"{REJECTED}:0", "bob", "-900"), {LEDGER, BALANCES}),
    "two entries that cancel out": (
        lambda d: (d.enter(f"{NOTE}:0", "ann", "1"), d.enter(f"{NOTE}:1", "ann", "-1")),
        {LEDGER},
    ),
    "entries of two accounts exchanged": (
        lambda d: d.database["Ledger"].update_one({"_id": f"{TRANSFER}:1"}, {"$set": {"username": "ann"}}),
        {LEDGER, BALANCES},
    ),
    "a balance off by its last digit": (lambda d: d.add("ann", "0.000000000000000001"), {BALANCES}),
    "an account nobody opened": (
        lambda d: d.database["Bank"].insert_one({"_id": "eve", "value": Decimal128("0")}),
        {BALANCES},
    ),
    "two steps swapped": (lambda d: d.steps(FIRST, THIRD, SECOND), {ORDER}),
    "two steps of one client swapped": (lambda d: d.steps(THIRD, SECOND, FIRST), {ORDER}),
    "a step processed twice": (lambda d: d.steps(FIRST, FIRST, SECOND, THIRD), {ORDER}),
    "a step left out": (lambda d: d.steps(FIRST, THIRD), {ORDER}),
    "a key without its list": (lambda d: d.database["Steps"].delete_one({"_id": "k"}), {ORDER}),
    "a transaction lost": (lambda d: d.database["Q"].delete_one({"_id": NOTE}), {STORED}),
    "a transaction nobody sent": (
        lambda d: d.database["Q"].insert_one({"_id": "9" * 21, "type": "probe.other", "state": "done"}),
        {STORED},
    ),
    "a transaction that never ended": (lambda d: d.state(REJECTED, "queued"), {ENDED}),
    "a transaction that died": (lambda d: d.state(NOTE, "dead"), {ENDED}),
    "a deposit rejected after it was entered": (lambda d: d.state(DEPOSIT, "rejected"), {ENDED, LEDGER, BALANCES}),
    "two ids for one key": (lambda d: d.answers.ids[f"key of {NOTE}"].append("8" * 21), {ONE_ID, STORED}),
    "one id for two keys": (lambda d: d.answers.ids.update({f"key of {NOTE}": [SECOND]}), {ONE_ID, STORED}),
    "a submission without an answer": (lambda d: d.answers.sends(Submission("new", 1, "deposit", {})), {ANSWERED}),
    "a refusal": (lambda d: d.answers.wrong.append("500"), {ANSWERED}),
    "an effect that never happened": (lambda d: (d.folder / "effects").unlink(), {EFFECTS}),
    "two runs at a time": (lambda d: (d.folder / "overlaps").write_text(f"{NOTE}\n"), {OVERLAPS}),
}


@pytest.mark.parametrize(("doctor", "noticed"), DOCTORED.values(), ids=DOCTORED.keys())
def test_what_is_wrong_is_noticed(deployment: Deployment, doctor: Doctor, noticed: set[str]) -> None:
    doctor(deployment)
    assert deployment.wrong().keys() == noticed, deployment.wrong()


def test_what_is_wrong_is_named(deployment: Deployment) -> None:
    deployment.database["Ledger"].delete_one({"_id": f"{TRANSFER}:1"})
    (missing,) = deployment.wrong()[LEDGER]
    assert missing.startswith(f"{TRANSFER}:1 is missing")
