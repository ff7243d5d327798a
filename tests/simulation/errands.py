"""What the simulated transactions do: handlers of every kind, each following a script of how its runs end.

A script is a list in the transaction's data, one word per run, the last for all further ones: `ok`, `raise`,
`raise late` (after a write), `reject`, `later`, `die`, `hang`, `slow`, `catch` (goes on after an
error of the database).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pymongo.errors import PyMongoError

from transqueue.executor import Bound
from transqueue.handlers import Handler
from transqueue.outcome import Reject, RetryLater
from transqueue.transaction import Stamp, Transaction, TransactionIds, free_lane, keyed_lane

from .hub import Hub, Killed

PLUGIN = Stamp("errands", "1")
TIMEOUT_SECONDS = 1.5
KINDS: Mapping[str, Mapping[str, Any]] = {
    "pay": {"transactional": True},
    "pay.key": {"transactional": True, "ordering_key": "key"},
    "call": {},
    "call.key": {"ordering_key": "key", "after_dead": "skip"},
    "group": {"transactional": True, "batch": True},
    "group.key": {"batch": True, "ordering_key": "key"},
}
GENTLE, HARSH = ("ok", "ok", "ok", "slow"), ("ok", "raise", "raise late", "reject", "later", "die", "hang", "catch")


@dataclass(slots=True)
class Run:
    """One run of a handler: of what, where, from when until when (or until its worker ended)."""

    transaction: str
    key: str | None
    worker: Any
    began: float
    ended: float | None = None


@dataclass
class Errands:
    """The handlers of one simulation, and what they were seen doing."""

    hub: Hub
    server_time: Callable[[], Any]
    more_types: int
    runs: list[Run] = field(default_factory=list)
    children: dict[str, list[str]] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        others = self.hub.random.sample(sorted(KINDS), max(self.more_types, 1))
        self.types = sorted({"pay", *others} if self.more_types else others)
        self._ids = TransactionIds(self.hub.random.randrange)
        self.bounds = {
            type: Bound(
                Handler(
                    type=type,
                    target=self._each if kind.get("batch") else self._one,
                    max_attempts=4,
                    backoff_seconds=(0.1, 0.5),
                    timeout_seconds=TIMEOUT_SECONDS,
                    plugin=PLUGIN.name,
                    **kind,
                ),
                self._each if kind.get("batch") else self._one,
                {},
            )
            for type, kind in KINDS.items()
            if type in {"pay", *self.types}  # of which follow-ups are, and what an end enqueues
        }

    def new(self, type: str, data: Mapping[str, Any], **fields: Any) -> Transaction:
        """A new transaction of one of the kinds."""
        now, kind = self.server_time(), KINDS[type]
        id = self._ids.next(now)
        key = data["key"] if "ordering_key" in kind else None
        given = {
            "id": id,
            "type": type,
            "data": dict(data),
            "created_at": now,
            "due_at": now,
            "max_attempts": 4,
            "ordering_key": key,
            "lane": free_lane(id) if key is None else keyed_lane(PLUGIN.name, key),
            "after_dead": kind.get("after_dead", "block"),
            "plugin": PLUGIN,
        }
        return Transaction(**given | fields)

    def follow_up(self, type: str, data: Mapping[str, Any], options: Mapping[str, Any]) -> Transaction:
        """What `context.enqueue` makes."""
        return self.new(type, data)

    def _one(self, transaction: Transaction, context: Any) -> Any:
        run = self._begin(transaction)
        try:
            return self._act(transaction, context, run)
        except Killed:
            raise
        except BaseException:
            run.ended = self.hub.time
            raise

    def _act(self, transaction: Transaction, context: Any, run: Run) -> Any:
        hub, transactional = self.hub, KINDS[transaction.type].get("transactional")
        word = self._word(transaction)
        if word == "raise":
            raise ValueError("as the script says")
        if word == "reject":
            raise Reject("as the script says")
        if word == "later":
            raise RetryLater(after_seconds=hub.between(0.05, 0.5), expires_after_seconds=4)
        hub.sleep({"hang": 20.0, "slow": hub.between(0.1, 1.2)}.get(word, hub.between(0.0, 0.01)))
        if transactional:
            self._pay(transaction, context.db, catching=word == "catch")
        if word == "die":
            hub.thread.process.end(-11)
            raise Killed
        if word == "raise late":
            raise ValueError("as the script says")
        for child in transaction.data.get("children", ()):
            id = context.enqueue(child, {"key": "child", "script": ["ok"]})
            self.children.setdefault(transaction.id, []).append(id)
        run.ended = hub.time
        return {"run": self.numbers[transaction.id]}

    def _each(self, members: list[Transaction], context: Any) -> list[Any]:
        """A group; one whose word is anything but an entry's ends the whole group by it."""
        entries: list[Any] = []
        for member in members:
            try:
                entries.append(self._one(member, context))
            except (Reject, RetryLater) as entry:
                entries.append(entry)
        return entries

    def _begin(self, transaction: Transaction) -> Run:
        self.hub.thread.process.check()
        self.numbers[transaction.id] = self.numbers.get(transaction.id, 0) + 1
        run = Run(transaction.id, transaction.ordering_key, self.hub.thread.process, self.hub.time)
        self.runs.append(run)
        self.hub.tell(f"{run.worker.name} runs {transaction.id[-5:]} {transaction.type} ({self._word(transaction)})")
        return run

    def _word(self, transaction: Transaction) -> str:
        script = transaction.data["script"]
        return script[min(self.numbers[transaction.id], len(script)) - 1]

    def _pay(self, transaction: Transaction, db: Any, *, catching: bool) -> None:
        """An effect that would be there twice if it happened twice."""
        number = self.numbers[transaction.id]
        try:
            db["Effects"].insert_one({"_id": f"{transaction.id}:{number}", "transaction": transaction.id})
            db["Bank"].update_one({"_id": transaction.data["key"]}, {"$inc": {"value": 1}}, upsert=True)
        except PyMongoError:
            if not catching:
                raise
