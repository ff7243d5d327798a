"""What the scripted interleavings share: a relay before the mongod, processes, failpoints, and short words."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from acceptance.conftest import make_site, site
from faults.relay import Relay
from integration.conftest import Desk, database, fail, pool

from transqueue.mongodb import MongoQueue, connect

__all__ = ["database", "fail", "make_site", "pool", "site"]  # fixtures of others, which are these tests' too


@pytest.fixture(scope="module")
def make_relay(mongo_uri: str) -> Iterator[Callable[[], Relay]]:
    """The function `make_relay()`: one more relay before the mongod."""
    made: list[Relay] = []

    def make() -> Relay:
        made.append(Relay(mongo_uri))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def relay(make_relay: Callable[[], Relay]) -> Iterator[Relay]:
    """A relay before the mongod; connect to its `uri`."""
    made = make_relay()
    yield made
    made.close()


@pytest.fixture
def desk(mongo_uri: str, mongo_database: str) -> Iterator[Desk]:
    """Short words for a queue with nothing between it and the mongod."""
    queue = connect(mongo_uri, mongo_database)
    yield Desk(queue)
    queue.close()


@pytest.fixture
def far(relay: Relay, mongo_database: str) -> Iterator[MongoQueue]:
    """One more process's queue, at the far end of the relay."""
    queue = connect(relay.uri, mongo_database)
    yield queue
    relay.release()
    queue.close()
