"""A set of three real nodes loses its primary: what was answered with success stays, and what is lost never was."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from chaos.replica_set import Node, ReplicaSet
from faults.verbs import VERBS, insist, until_answered
from integration.conftest import Desk
from pymongo import MongoClient

from transqueue.errors import QueueUnavailable, TrackLost
from transqueue.mongodb import connect, connection, intake
from transqueue.queue import Casualty
from transqueue.transaction import Idempotency, State

pytestmark = pytest.mark.timeout(240)

SESSION_SECONDS = 20.0
SHORT_SECONDS = 2.0
KILLED_WHILE = ("enqueue", "lease", "commit")


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicaSet]:
    """Three nodes with failpoints, for all tests."""
    nodes = ReplicaSet(tmp_path_factory.mktemp("nodes"), 3, test_commands=True)
    try:
        nodes.start()
        yield nodes
    finally:
        nodes.close()


@pytest.fixture
def nodes(three: ReplicaSet, wait_until: Any) -> ReplicaSet:
    """All three are well, whatever the last test left."""
    three.watch()
    wait_until(three.is_well, timeout=60, message="all three are well")
    return three


@pytest.fixture
def connected(nodes: ReplicaSet) -> Iterator[Callable[[], Any]]:
    """The function `connected()`: one more process's queue on this test's database."""
    opened: list[Any] = []
    name = f"test_{uuid.uuid4().hex[:12]}"

    def open_one() -> Any:
        opened.append(insist(lambda: connect(nodes.uri, name)))
        return opened[-1]

    yield open_one
    for queue in opened:
        queue.close()


@pytest.mark.parametrize("verb", KILLED_WHILE)
def test_a_primary_killed_meanwhile_loses_nothing_that_was_answered_and_doubles_nothing(
    nodes: ReplicaSet, connected: Callable[[], Any], pool: ThreadPoolExecutor, wait_until: Any, verb: str
) -> None:
    desk, queue = Desk(connected()), connected()
    accepted = [desk.enqueue(type="other") for _ in range(10)]
    doing = VERBS[verb](desk, SESSION_SECONDS)
    primary = wait_until(nodes.primary, timeout=60, message="a primary")
    entered = block(primary, doing.command[0])
    answered = pool.submit(until_answered, doing, queue)
    wait_until(lambda: is_entered(primary, entered + 1), timeout=30, message="it is under way")
    primary.kill(down_seconds=0)
    answered.result(120)
    doing.check()
    nodes.watch()
    wait_until(nodes.is_well, timeout=60, message="all three are well again")
    doing.check()
    assert [desk.state(one) for one in accepted] == [State.QUEUED] * 10


def test_a_bell_rings_again_after_an_election(nodes: ReplicaSet, connected: Callable[[], Any], wait_until: Any) -> None:
    desk, rang = Desk(connected()), threading.Event()
    bell = connected().wakeup([3], rang.set)
    bell.start()
    bell.listen()
    wait_until(lambda: bell.is_listening, timeout=30, message="it listens")
    primary = wait_until(nodes.primary, timeout=60, message="a primary")
    primary.kill(down_seconds=0)

    def is_told() -> bool:
        rang.clear()
        insist(lambda: desk.enqueue(lane=4))
        rang.wait(1)
        return bool(bell.heard() == "others")  # so the stream told it, and not only that it began anew

    wait_until(is_told, timeout=60, message="it tells what came after the election")
    nodes.watch()


def test_what_no_majority_has_is_never_answered_with_success_and_is_rolled_back_without_a_trace(
    nodes: ReplicaSet,
    connected: Callable[[], Any],
    pool: ThreadPoolExecutor,
    wait_until: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (connection, intake):
        monkeypatch.setattr(module, "CALL_SECONDS", SHORT_SECONDS)
    desk, enqueuing, leasing, committing = Desk(connected()), connected(), connected(), connected()
    accepted = desk.enqueue(type="other")
    waiting, held = desk.enqueue(type="waiting"), desk.leased(type="held")
    worker = desk.worker(of=leasing)
    new = desk.new(idempotency=Idempotency("key", "hash"))

    def pay(effects: Any) -> Any:
        effects.db["Paid"].insert_one({"of": held.id})
        return [desk.complete(held)]

    old = wait_until(nodes.primary, timeout=60, message="a primary")
    with MongoClient[dict[str, Any]](f"mongodb://{old.address}/?directConnection=true") as local:
        others = [node for node in nodes.nodes if node is not old]
        hold_replication(others, "alwaysOn")
        unknown = [
            pool.submit(enqueuing.enqueue, [new]),
            pool.submit(leasing.lease, worker, "waiting", limit=1),
            pool.submit(committing.settle_in_session, pay, timeout_seconds=SHORT_SECONDS),
        ]
        database = local[desk.queue._connection.database.name]
        states = {new.id: "queued", waiting.id: "running", held.id: "done"}
        seen = lambda: {one["_id"]: one["state"] for one in database["Q"].find({"_id": {"$in": list(states)}})}  # noqa: E731
        wait_until(lambda: seen() == states, timeout=30, message="the primary alone has all of it")
        assert database["Paid"].count_documents({"of": held.id}) == 1
        told = [future.exception(60) for future in unknown]
        assert [type(error) for error in told] == [QueueUnavailable, TrackLost, TrackLost]

    old.kill(down_seconds=0)
    hold_replication(others, "off")
    wait_until(nodes.primary, timeout=60, message="another primary")
    nodes.watch()
    wait_until(nodes.is_well, timeout=60, message="all three are well again")
    assert insist(lambda: desk.queue.get(new.id)) is None
    assert [desk.state(one) for one in (accepted, waiting, held)] == [State.QUEUED, State.QUEUED, State.RUNNING]
    paid = desk.queue._connection.database["Paid"]
    assert paid.count_documents({}) == 0

    (receipt,) = insist(lambda: desk.queue.enqueue([new]))
    assert (receipt.transaction, receipt.replayed) == (new, False)
    insist(lambda: desk.queue.end(held.lease.worker, Casualty()))
    (held,) = desk.queue.lease(desk.worker(), "held", limit=1)
    assert not desk.queue.settle_in_session(pay, timeout_seconds=SESSION_SECONDS)
    assert paid.count_documents({"of": held.id}) == 1


def block(node: Node, command: str) -> int:
    """From now on the command does not come to its work on this node; how many have met that so far."""
    data = {"failCommands": [command], "appName": "transqueue", "blockConnection": True, "blockTimeMS": 60_000}
    return int(node.ask({"configureFailPoint": "failCommand", "mode": "alwaysOn", "data": data})["count"])


def is_entered(node: Node, times: int) -> bool:
    return bool(node.ask({"waitForFailPoint": "failCommand", "timesEntered": times, "maxTimeMS": 200}))


def hold_replication(nodes: list[Node], mode: str) -> None:
    """On these nodes: nothing more comes from the primary."""
    for node in nodes:
        assert node.ask({"configureFailPoint": "stopReplProducer", "mode": mode})
