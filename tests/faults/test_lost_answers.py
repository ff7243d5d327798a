"""A reply is lost, late or never comes, for each verb that matters: whoever repeats as it should finds it done once.

The deadlines of calls and sessions are shorter here, so that silence ends soon.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from faults.relay import Relay
from faults.verbs import VERBS, until_answered
from integration.conftest import Desk

from transqueue.mongodb import connect, connection, intake, ordered, settlements

DEADLINE_SECONDS = 0.6
SESSION_SECONDS = 1.2

# What becomes of the verb's command on its way.
FATES: dict[str, Callable[[Relay, str, str], None]] = {
    "the reply is lost": lambda relay, *command: relay.on("lose reply", *command),
    "two replies are lost": lambda relay, *command: relay.on("lose reply", *command, times=2),
    "the request is lost": lambda relay, *command: relay.on("lose request", *command),
    "the reply is late": lambda relay, *command: relay.on("hold reply", *command),
    "the request is late": lambda relay, *command: relay.on("hold request", *command),
    "there is silence after the request": lambda relay, *command: relay.on("hold reply", *command),
    "there is silence before the request": lambda relay, *command: relay.on("hold request", *command),
}


@pytest.fixture(scope="module")
def far_and_near(
    make_relay: Callable[[], Relay], mongo_uri: str, mongo_client: Any
) -> Iterator[tuple[Relay, Any, Desk, Any]]:
    """A relay, an impatient queue at its far end, a desk at the near one, and the database that all rows share."""
    relay, name = make_relay(), f"test_{uuid.uuid4().hex[:12]}"
    with pytest.MonkeyPatch.context() as patch:
        for module in (connection, intake, ordered, settlements):
            patch.setattr(module, "CALL_SECONDS", DEADLINE_SECONDS)
        far, near = connect(relay.uri, name), connect(mongo_uri, name)
        yield relay, far, Desk(near), mongo_client[name]
        relay.release()
        far.close()
        near.close()
    mongo_client.drop_database(name)


@pytest.mark.parametrize("fate", FATES)
@pytest.mark.parametrize("verb", VERBS)
def test_it_counts_once(
    far_and_near: tuple[Relay, Any, Desk, Any], pool: ThreadPoolExecutor, wait_until: Any, verb: str, fate: str
) -> None:
    relay, far, desk, database = far_and_near
    for collection in ("Q", "Workers", "Lanes", "Keys", "Paid"):
        database[collection].delete_many({})
    doing = VERBS[verb](desk, SESSION_SECONDS)
    FATES[fate](relay, *doing.command)
    answered = pool.submit(until_answered, doing, far)
    relay.catch()
    if "late" in fate:
        relay.release()
    if "silence" in fate:
        wait_until(answered.done, timeout=60, message="it gives up waiting, and goes on by itself")
    answered.result(60)
    relay.release()  # what nobody waits for any more arrives all the same
    doing.check()
