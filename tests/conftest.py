"""What every test may ask for: a real mongod for the whole run, a database of its own, and a wait with a limit."""

from __future__ import annotations

import os
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from pymongo import MongoClient

from transqueue.errors import MongodNotStarted
from transqueue.mongodb.embedded import PrivateMongod

# The packages of modules that tests share, such as `simulation`: pytest's importlib mode puts no folder on the path.
sys.path.insert(0, str(Path(__file__).parent))

SLOWER = 3  # than the machine on which limits were chosen may be the one that tests run on

# A machine that is busy elsewhere is no defect.
hypothesis.settings.register_profile(
    "patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], derandomize="CI" in os.environ
)
hypothesis.settings.load_profile("patient")


@pytest.fixture(scope="module", autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """A module's threads end with it: one that goes round and round makes every test after it several times slower."""
    before = set(threading.enumerate())
    yield

    def left() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread not in before and not _may_stay(thread)]

    _wait_until(lambda: not left(), message="every thread that the module started has ended", told=left)


def _may_stay(thread: threading.Thread) -> bool:
    """Those of clients and servers that are there for the whole run."""
    return thread.name.startswith("pymongo_")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what a test has to tell also when it holds: `record_property("told", ...)`."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "told":
                terminalreporter.write_line(value)


@pytest.fixture(scope="session")
def mongo_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of one mongod for the whole run, with test commands (failpoints). Without it the run fails: no skips."""
    mongod = PrivateMongod(
        tmp_path_factory.mktemp("mongod"), extra_arguments=("--setParameter", "enableTestCommands=1")
    )
    try:
        uri = mongod.start()
    except MongodNotStarted as error:
        pytest.fail(f"these tests need a real mongod: {error}")
    try:
        yield uri
    finally:
        mongod.stop()


@pytest.fixture(scope="session")
def mongo_client(mongo_uri: str) -> Iterator[MongoClient[dict[str, Any]]]:
    """A client for what the tests themselves read and write."""
    with MongoClient[dict[str, Any]](mongo_uri, tz_aware=True) as client:
        yield client


@pytest.fixture
def mongo_database(mongo_client: MongoClient[dict[str, Any]]) -> Iterator[str]:
    """The name of a database that this test alone uses; dropped afterwards."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield name
    mongo_client.drop_database(name)


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., Any]:
    """The function `wait_until(condition, timeout=10, message="")`."""
    return _wait_until


def _wait_until(
    condition: Callable[[], Any], timeout: float = 10, message: str = "", told: Callable[[], Any] = str
) -> Any:
    """Call `condition` until it gives something true, and return that; fail after `SLOWER` times `timeout` seconds."""
    limit = time.monotonic() + timeout * SLOWER
    while not (found := condition()):
        if time.monotonic() > limit:
            pytest.fail(f"not within {timeout:g} s: {message or condition} {told()}")
        time.sleep(0.01)
    return found
