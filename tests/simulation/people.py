"""Those who submit, and repeat until they are answered; and an operator, who cancels and redrives."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from transqueue.errors import QueueUnavailable
from transqueue.transaction import Idempotency, OnEnd, State, Transaction

from .errands import GENTLE, HARSH, PLUGIN, Errands
from .hub import Hub, Process
from .network import SimulatedNetwork
from .queue_on_store import queue_on

KEYS = ("ann", "bob")
ON_END = OnEnd(type="pay", data={"key": "end", "script": ["ok"]}, max_attempts=4, plugin=PLUGIN)


@dataclass(slots=True)
class Submission:
    """One request of a submitter: what was sent, when for the first time, and when and what was answered."""

    key: str
    sent: Transaction
    sent_at: float
    place: int = 0
    answered_at: float | None = None
    id: str = ""


class People:
    """The submitters and the operator of one simulation."""

    def __init__(
        self, hub: Hub, network: SimulatedNetwork, errands: Errands, *, harsh: bool, words: int, operated: float
    ) -> None:
        self.hub, self._network, self._errands = hub, network, errands
        self._harsh, self._words, self._operated = harsh, words, operated
        self.submissions: list[Submission] = []
        self.busy, self.cancelled, self.redriven = 0, 0, 0

    def start(self, submitters: int, each: int, seconds: float) -> None:
        """Begin to submit, over so many seconds."""
        for number in range(submitters):
            self.busy += 1
            process = Process(self.hub, f"submitter-{number + 1}")
            process.start(lambda process=process: self._submit_all(process, each, seconds))
        if not self.hub.chance(self._operated):
            return
        self.busy += 1
        operator = Process(self.hub, "operator")
        operator.start(lambda: self._operate(operator, seconds))

    def _queue(self, process: Process) -> Any:
        hub = self.hub
        clock = _Clock(self._network)
        return queue_on(self._network, clock, name=process.name, monotonic=hub.now, sleep=hub.sleep, chance=hub.random)

    def _submit_all(self, process: Process, each: int, seconds: float) -> None:
        queue, sent = self._queue(process), 0
        while sent < each:
            self.hub.sleep(self.hub.between(0.0, 2.0 * seconds / each))
            count = min(each - sent, self.hub.random.choice((1, 1, 2, 3)))
            now = self.hub.time
            batch = [self._submission(f"{process.name}/{sent + place}", now, place) for place in range(count)]
            self.submissions += batch
            self._insist(queue, batch)
            sent += count
        self.busy -= 1

    def _submission(self, key: str, now: float, place: int) -> Submission:
        random = self.hub.random
        type = random.choice(self._errands.types)
        words = HARSH if self._harsh else GENTLE
        last = random.choice(("ok", "ok", "ok", random.choice(words)))
        script = [*(random.choice(words) for _ in range(random.randint(0, self._words))), last]
        data: dict[str, Any] = {"key": random.choice(KEYS), "script": script}
        if random.random() < 0.15:
            data["children"] = ["pay"]
        given = {"submitter": "them", "idempotency": Idempotency(key, "hash")}
        if random.random() < 0.12:
            given["on_end"] = (ON_END,)
        new = self._errands.new(type, data, **given)
        return Submission(key, new, now, place)

    def _insist(self, queue: Any, batch: list[Submission]) -> None:
        """Send until it is answered; each time with new ids, as the door makes them."""
        given = [one.sent for one in batch]
        while True:
            try:
                receipts = queue.enqueue(given)
                break
            except QueueUnavailable:
                self.hub.sleep(self.hub.between(0.05, 1.0))
                fresh = [self._errands.new(one.type, one.data) for one in given]
                given = [_renamed(one, new) for one, new in zip(given, fresh, strict=True)]
        for one, receipt in zip(batch, receipts, strict=True):
            one.id, one.answered_at = receipt.transaction.id, self.hub.time
            assert not receipt.key_reused, "the same request was taken for another one"

    def _operate(self, process: Process, seconds: float) -> None:
        """Now and then something queued is cancelled; what is dead is given another chance once."""
        queue, random, chances = self._queue(process), self.hub.random, set[str]()
        until = self.hub.time + seconds * 1.5
        while (left := until - self.hub.time) > 0:
            self.hub.sleep(min(left, self.hub.between(0.5, max(0.5, seconds))))
            known = [one.id for one in self.submissions if one.id]
            if not known:
                continue
            one = random.choice(known)
            try:
                present = queue.get(one)
                if present.state is State.DEAD and one not in chances:
                    chances.add(one)
                    self.redriven += queue.redrive(one, more_attempts=2)
                elif random.random() < 0.1:
                    self.cancelled += queue.cancel(one)
            except QueueUnavailable:
                continue
        self.busy -= 1


class _Clock:
    def __init__(self, network: SimulatedNetwork) -> None:
        self._network = network

    def now(self) -> Any:
        return self._network.server_time()

    def observe(self, _: Any) -> None: ...


def _renamed(one: Transaction, new: Transaction) -> Transaction:
    return replace(new, submitter=one.submitter, idempotency=one.idempotency, on_end=one.on_end)
