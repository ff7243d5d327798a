"""The money checker: what the database holds, compared with what was submitted and answered.

Every check names each thing that is wrong. Amounts are compared exactly, as Decimals.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

from answers import Answers, Submission

ENDED = ("done", "rejected", "dead", "cancelled")
Entry = tuple[str, Decimal]  # an account, and what was added to it


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: how many things were looked at, and a sentence for each that is wrong."""

    check: str
    looked_at: int
    wrong: Sequence[str]


@dataclass
class Evidence:
    """Everything that is compared."""

    answers: Answers
    transactions: Mapping[str, Mapping[str, Any]]
    ledger: Mapping[str, Entry]
    bank: Mapping[str, Decimal]
    steps: Mapping[str, Sequence[Mapping[str, Any]]]
    effects: Counter[str] = field(default_factory=Counter)
    overlaps: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.submission_of: dict[str, Submission] = {
            id: self.answers.submissions[key] for key, ids in self.answers.ids.items() for id in ids
        }


def gather(database: Any, answers: Answers, folder: Path) -> Evidence:
    """Read everything; only when nothing writes any more."""
    return Evidence(
        answers=answers,
        transactions={row["_id"]: row for row in database["Q"].find()},
        ledger={row["_id"]: (row["username"], row["value"].to_decimal()) for row in database["Ledger"].find()},
        bank={row["_id"]: row["value"].to_decimal() for row in database["Bank"].find()},
        steps={row["_id"]: row["entries"] for row in database["Steps"].find()},
        effects=_lines(folder / "effects"),
        overlaps=_lines(folder / "overlaps"),
    )


def check(evidence: Evidence, *, overlaps_forbidden: bool = True) -> list[Finding]:
    """All checks."""
    return [
        Finding(name, len(looked_at(evidence)), sorted(wrong(evidence)))
        for name, (looked_at, wrong) in CHECKS.items()
        if overlaps_forbidden or wrong is not _no_overlaps
    ]


def _answers_well(evidence: Evidence) -> Iterator[str]:
    yield from evidence.answers.wrong
    for key in evidence.answers.submissions.keys() - evidence.answers.ids.keys():
        yield f"{key} never got a definite answer"


def _one_id_per_key(evidence: Evidence) -> Iterator[str]:
    keys_of: dict[str, list[str]] = defaultdict(list)
    for key, ids in evidence.answers.ids.items():
        if len(ids) > 1:
            yield f"{key} was answered with {' and '.join(ids)}"
        for id in ids:
            keys_of[id].append(key)
    for id, keys in keys_of.items():
        if len(keys) > 1:
            yield f"{id} was answered for {' and '.join(keys)}"


def _accepted_exist(evidence: Evidence) -> Iterator[str]:
    for id, submission in evidence.submission_of.items():
        row = evidence.transactions.get(id)
        if row is None:
            yield f"{id} was answered and is not in Q"
        elif (row["type"], row.get("idempotency", {}).get("key")) != (submission.type, submission.key):
            yield f"{id} is not what was submitted as {submission.key}"
    for id in evidence.transactions.keys() - evidence.submission_of.keys():
        yield f"{id} is in Q and nobody was told"


def _all_ended(evidence: Evidence) -> Iterator[str]:
    for id, row in evidence.transactions.items():
        allowed = ("done", "rejected") if row["type"] == "transfer" else ("done",)
        if row["state"] not in allowed:
            yield f"{id} ({row['type']}) is {row['state']}: {(row.get('error') or {}).get('message', '')[:200]}"


def _ledger_is_as_accepted(evidence: Evidence) -> Iterator[str]:
    expected = _expected_entries(evidence)
    for entry in sorted(expected.keys() | evidence.ledger.keys()):
        if entry not in evidence.ledger:
            yield f"{entry} is missing: {expected[entry]}"
        elif entry not in expected:
            yield f"{entry} is one too many: {evidence.ledger[entry]}"
        elif expected[entry] != evidence.ledger[entry]:
            yield f"{entry} is {evidence.ledger[entry]} and must be {expected[entry]}"


def _balances_are_sums(evidence: Evidence) -> Iterator[str]:
    in_ledger, as_accepted = _sums(evidence.ledger), _sums(_expected_entries(evidence))
    for account in sorted(evidence.bank.keys() | in_ledger.keys() | as_accepted.keys()):
        balance, ledger, accepted = (sums.get(account) for sums in (evidence.bank, in_ledger, as_accepted))
        if not balance == ledger == accepted:
            yield f"{account}: balance {balance}, ledger {ledger}, accepted {accepted}"
        if balance is not None and balance < 0:
            yield f"{account}: its balance is {balance}"


def _keys_are_in_order(evidence: Evidence) -> Iterator[str]:
    for key in sorted(_steps_accepted(evidence).keys() | evidence.steps.keys()):
        accepted = [row["_id"] for row in _steps_accepted(evidence).get(key, [])]
        processed = [entry["id"] for entry in evidence.steps.get(key, [])]
        yield from _difference(key, accepted, processed)
        numbers: dict[int, list[int]] = defaultdict(list)
        for entry in evidence.steps.get(key, []):
            numbers[entry["client"]].append(entry["number"])
        for client, seen in numbers.items():
            if seen != list(range(1, len(seen) + 1)):
                yield f"{key}: client {client} sent 1, 2, ...; processed were {_first_wrong(seen)}"


def _effects_happened(evidence: Evidence) -> Iterator[str]:
    for row in _all(evidence, "probe.note"):
        if row["state"] == "done" and not evidence.effects[row["_id"]]:
            yield f"{row['_id']} is done, and its effect never happened"


def _no_overlaps(evidence: Evidence) -> Iterator[str]:
    return (f"{id} was run while another run of it was alive" for id in evidence.overlaps)


Check = tuple[Callable[[Evidence], Any], Callable[[Evidence], Iterator[str]]]
CHECKS: Mapping[str, Check] = {
    "every submission got a definite, well-formed answer": (lambda e: e.answers.submissions, _answers_well),
    "one id per idempotency key, one key per id": (lambda e: e.answers.ids, _one_id_per_key),
    "accepted = stored": (lambda e: e.transactions, _accepted_exist),
    "accepted = ended": (lambda e: e.transactions, _all_ended),
    "each transaction is in Ledger once, as accepted": (lambda e: e.ledger, _ledger_is_as_accepted),
    "balance = ledger = sum of accepted": (lambda e: e.bank, _balances_are_sums),
    "each key in the order accepted, no gap, no repeat": (lambda e: _all(e, "probe.step"), _keys_are_in_order),
    "outside effects at least once": (lambda e: _all(e, "probe.note"), _effects_happened),
    "no two runs of one transaction at a time": (lambda e: e.transactions, _no_overlaps),
}


def _expected_entries(evidence: Evidence) -> dict[str, Entry]:
    """The entries that the accepted and completed submissions must have made, by their ids."""
    entries: dict[str, Entry] = {}
    for id, submission in evidence.submission_of.items():
        if evidence.transactions.get(id, {}).get("state") == "done":
            entries |= {f"{id}:{number}": entry for number, entry in enumerate(_entries(submission))}
    return entries


def _entries(submission: Submission) -> list[Entry]:
    data = submission.data
    if submission.type == "deposit":
        return [(data["username"], data["value"])]
    if submission.type == "transfer":
        return [(data["from"], data["value"].copy_negate()), (data["to"], data["value"])]
    return []


def _sums(entries: Mapping[str, Entry]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = defaultdict(Decimal)
    with localcontext(prec=60):
        for account, value in entries.values():
            sums[account] += value
    return dict(sums)


def _all(evidence: Evidence, type: str) -> list[Mapping[str, Any]]:
    return [row for row in evidence.transactions.values() if row["type"] == type]


def _steps_accepted(evidence: Evidence) -> dict[str, list[Mapping[str, Any]]]:
    """The done ones of each key, in the order accepted."""
    accepted: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in sorted(_all(evidence, "probe.step"), key=lambda row: row["accepted"]):
        if row["state"] == "done":
            accepted[row["ordering_key"]].append(row)
    return accepted


def _difference(key: str, accepted: Sequence[str], processed: Sequence[str]) -> Iterator[str]:
    counts = Counter(processed)
    for id in accepted:
        if counts[id] != 1:
            yield f"{key}: {id} was processed {counts[id]} times"
    for id in counts.keys() - set(accepted):
        yield f"{key}: {id} was processed and is not done"
    if sorted(accepted) == sorted(processed):
        for place, (one, other) in enumerate(zip(accepted, processed, strict=True)):
            if one != other:
                yield f"{key}: at place {place} {one} was accepted, and {other} processed"
                return


def _first_wrong(seen: Sequence[int]) -> str:
    at = next(at for at, number in enumerate(seen) if number != at + 1)
    return f"..., {', '.join(map(str, seen[max(0, at - 2) : at + 3]))}, ..."


def _lines(file: Path) -> Counter[str]:
    return Counter(file.read_text().splitlines()) if file.exists() else Counter()
