"""The promises, checked: at every write while it runs, and of all that is left in the end."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any

from transqueue.transaction import MAX_CRASHES

from .errands import KINDS, Errands
from .people import People, Submission
from .store import Document, Store

OVER = ("done", "rejected", "cancelled")


class Broken(Exception):
    """A promise is broken."""


class Watch:
    """Sees every write to Q as it happens, and refuses what nobody may do."""

    def __init__(self, store: Store) -> None:
        self._store = store
        store.observers.append(self.saw)

    def saw(self, writer: str, collection: str, before: Document | None, after: Document | None) -> None:
        """Judge one write.

        Raises:
            Broken: it must not happen.
        """
        if collection != "Q":
            return
        if after is None:
            raise Broken(f"{writer} deleted {before}")
        if before is None:
            _require(after["state"] == "queued", f"{writer} inserted {after}")
        elif before["state"] != after["state"]:
            self._moved(writer, before, after)
        elif before.get("lease") != after.get("lease") or before.get("ended_by") != after.get("ended_by"):
            raise Broken(f"{writer} changed the lease of {after['_id']} and not its state")

    def _moved(self, writer: str, before: Document, after: Document) -> None:
        move = before["state"], after["state"]
        what = f"{writer} moved {after['_id']} {move[0]} -> {move[1]}"
        if move == ("queued", "running"):
            _require(after["lease"]["worker"] == writer, f"{what} for {after['lease']}")
            self._in_order(after, what, together=True)
        elif move[0] == "running":
            self._left(writer, before, after, what)
        elif writer != "operator":
            raise Broken(what)

    def _left(self, writer: str, before: Document, after: Document, what: str) -> None:
        """Only its own worker settles it; only when that has ended does somebody else put it back."""
        lease = before["lease"]
        if "worker" in writer:
            _require(lease["worker"] == writer, f"{what}, which {lease['worker']} holds")
        else:
            _require(after["state"] in ("queued", "dead"), what)
            owner = self._store.latest.get("Workers", {}).get(lease["worker"])
            _require(owner is None or owner["ended_at"] is not None, f"{what}, whose worker has not ended")
        if after["state"] == "done":
            _require(after["ended_by"] == lease["token"], f"{what} under another token")
        if after["state"] != "queued":
            self._in_order(after, what, together=False)

    def _in_order(self, moved: Document, what: str, *, together: bool) -> None:
        """Nothing of its key that was accepted before is still to be done, unless it may be, and is, leased with it."""
        if "ordering_key" not in moved:
            return
        for one in self._store.majority["Q"].values():
            same = one.get("ordering_key") == moved["ordering_key"] and one["accepted"] < moved["accepted"]
            if same and not _is_over(self._store.latest["Q"].get(one["_id"], one)):
                present = self._store.latest["Q"][one["_id"]]
                ours = together and present.get("lease") == moved["lease"]
                _require(ours, f"{what} before {one['_id']}, which is {present['state']}")


def _is_over(document: Document) -> bool:
    return document["state"] in OVER or (document["state"] == "dead" and document.get("after_dead") == "skip")


def rests(store: Store) -> bool:
    """Whether everything has ended, or waits behind a dead one that blocks its key."""
    blocking: dict[str, Any] = {}
    for one in _q(store):
        if one["state"] == "dead" and "ordering_key" in one and not _is_over(one):
            blocking[one["ordering_key"]] = min(one["accepted"], blocking.get(one["ordering_key"], one["accepted"]))
    return all(
        one["state"] in (*OVER, "dead")
        or (one["state"] == "queued" and _is_behind(one, blocking.get(one.get("ordering_key"))))
        for one in _q(store)
    )


def _is_behind(one: Document, blocking: Any) -> bool:
    return blocking is not None and bool(one["accepted"] > blocking)


def judge(store: Store, people: People, errands: Errands, *, hosts_keep_time: bool) -> None:
    """All that must hold in the end.

    Raises:
        Broken: it does not.
    """
    _require(rests(store), f"not ended: {[_short(one) for one in _q(store) if not _has_ended(one)]}")
    by_id = {one["_id"]: one for one in _q(store)}
    _accepted(by_id, people)
    _effects_once(store, by_id, errands)
    _bounded(by_id, errands)
    _told_of_ends(by_id)
    _in_order(by_id, people.submissions, errands)
    if hosts_keep_time:
        _no_overlap(errands)


def _accepted(by_id: dict[str, Document], people: People) -> None:
    keys = Counter(one["idempotency"]["key"] for one in by_id.values() if "idempotency" in one)
    for one in people.submissions:
        _require(one.answered_at is not None, f"{one.key} was never answered")
        _require(one.id in by_id, f"{one.key} was answered with {one.id}, which is lost")
        _require(keys[one.key] == 1, f"{one.key} is there {keys[one.key]} times")
        _require(by_id[one.id]["idempotency"]["key"] == one.key, f"{one.key} was answered with another's id")


def _effects_once(store: Store, by_id: dict[str, Document], errands: Errands) -> None:
    effects = Counter(one["transaction"] for one in store.latest.get("Effects", {}).values())
    for id, one in by_id.items():
        wanted = int(one["state"] == "done" and bool(KINDS[one["type"]].get("transactional")))
        _require(effects[id] == wanted, f"{id} ({one['type']}) is {one['state']} with {effects[id]} effects")
        if one["state"] == "done":
            _require(errands.numbers.get(id, 0) > 0, f"{id} is done and never ran")
        there = sum(child in by_id for child in errands.children.get(id, ()))
        follow_ups = len(one["data"].get("children", ())) if one["state"] == "done" else 0
        _require(there == follow_ups, f"{id} is {one['state']}, with {there} follow-ups and not {follow_ups}")
    balance = sum(one["value"] for one in store.latest.get("Bank", {}).values())
    _require(balance == sum(effects.values()), f"the balances are {balance}, the effects {sum(effects.values())}")


def _told_of_ends(by_id: dict[str, Document]) -> None:
    """Each end enqueued what it wants, once, and that tells of this end; what was not an end enqueued nothing."""
    told = Counter((one["parent"], one["origin"]["state"]) for one in by_id.values() if "origin" in one)
    for id, one in by_id.items():
        ends = Counter(entry["state"] for entry in one.get("history", ()) if entry["state"] in (*OVER, "dead"))
        for state in (*OVER, "dead"):
            wanted = ends[state] * len(one.get("on_end", ()))
            _require(
                told[id, state] == wanted,
                f"{id} was {state} {ends[state]} times, and told {told[id, state]} of {wanted}",
            )


def _bounded(by_id: dict[str, Document], errands: Errands) -> None:
    for id, one in by_id.items():
        _require(one["attempts"] <= one["max_attempts"], f"{id} was charged {one['attempts']} attempts")
        _require(one["crashes"] <= MAX_CRASHES, f"{id} was charged {one['crashes']} crashes")
        if one["state"] in ("done", "rejected"):
            _require(one["attempts"] >= 1, f"{id} is {one['state']} without an attempt")


def _in_order(by_id: dict[str, Document], submissions: list[Submission], errands: Errands) -> None:
    """Of one key: what was answered before the other was sent was accepted before; a batch keeps its order."""
    of_key: dict[Any, list[Submission]] = defaultdict(list)
    for one in submissions:
        if one.sent.ordering_key is not None:
            of_key[one.sent.ordering_key].append(one)
    for members in of_key.values():
        for first in members:
            for second in members:
                before = first.answered_at is not None and first.answered_at < second.sent_at
                if before:
                    stamps = by_id[first.id]["accepted"], by_id[second.id]["accepted"]
                    _require(stamps[0] < stamps[1], f"{second.id} was accepted before {first.id}")


def _no_overlap(errands: Errands) -> None:
    """No two runs of one transaction, or of one key, at the same time."""
    groups: dict[str, list[Any]] = defaultdict(list)
    for run in errands.runs:
        groups[run.transaction].append(run)
    for runs in groups.values():
        for one, other in pairwise(sorted(runs, key=lambda run: run.began)):
            end = one.ended if one.ended is not None else one.worker.ended_at
            _require(
                one.worker is other.worker or (end is not None and end <= other.began),
                f"{one.transaction} ran in {one.worker.name} until {end}, and in {other.worker.name} at {other.began}",
            )


def _has_ended(one: Document) -> bool:
    return one["state"] in (*OVER, "dead")


def _short(one: Document) -> str:
    return f"{one['_id']} {one['type']} {one['state']} {one.get('lease', '')}"


def _q(store: Store) -> list[Document]:
    return list(store.latest.get("Q", {}).values())


def _require(holds: object, breach: str) -> None:
    if not holds:
        raise Broken(breach)
