"""What the scripted interleavings share: a relay before the mongod, processes, failpoints, and short words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from acceptance.conftest import Site
from faults.relay import Relay
from integration.conftest import Desk, Faults
from pymongo import MongoClient

from transqueue.mongodb import MongoQueue, connect


@pytest.fixture(scope="module")
def make_relay(mongo_uri: str) -> Iterator[Callable[[], Relay]]:
    """The function `make_relay()`: one more relay before the mongod."""
    host, _, port = mongo_uri.removeprefix("mongodb://").partition("/")[0].partition(":")
    made: list[Relay] = []

    def make() -> Relay:
        made.append(Relay((host, int(port))))
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


@pytest.fixture(scope="module")
def make_site(
    tmp_path_factory: pytest.TempPathFactory,
    mongo_uri: str,
    mongo_client: MongoClient[dict[str, Any]],
    wait_until: Callable[..., Any],
) -> Callable[[], Site]:
    """The function `make_site()`: a new site on a database of its own. Close it when done."""
    return lambda: Site(tmp_path_factory.mktemp("site"), mongo_uri, mongo_client, wait_until)


@pytest.fixture
def site(make_site: Callable[[], Site]) -> Iterator[Site]:
    """A site for one test; what was started on it is killed at the end."""
    made = make_site()
    yield made
    made.close()


@pytest.fixture
def database(mongo_client: MongoClient[dict[str, Any]], mongo_database: str) -> Any:
    """This test's database as an onlooker sees it."""
    return mongo_client[mongo_database]


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


@pytest.fixture
def fail(mongo_client: MongoClient[dict[str, Any]]) -> Iterator[Faults]:
    """The failpoint `failCommand`, for TransQueue's own commands."""
    faults = Faults(mongo_client)
    yield faults
    faults.stop()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Threads for what happens at the same time."""
    with ThreadPoolExecutor(4) as pool:
        yield pool
