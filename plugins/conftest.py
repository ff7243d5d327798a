"""What the tests of every plugin may ask for: a real mongod, and a database of their own in it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from transqueue.errors import MongodNotStarted
from transqueue.mongodb.embedded import PrivateMongod


@pytest.fixture(scope="session")
def mongo_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoClient[dict[str, Any]]]:
    """A client of one mongod for the whole run. Without mongod the run fails: no skips."""
    mongod = PrivateMongod(tmp_path_factory.mktemp("mongod"))
    try:
        uri = mongod.start()
    except MongodNotStarted as error:
        pytest.fail(f"these tests need a real mongod: {error}")
    try:
        with MongoClient[dict[str, Any]](uri, tz_aware=True) as client:
            yield client
    finally:
        mongod.stop()


@pytest.fixture
def database(mongo_client: MongoClient[dict[str, Any]]) -> Iterator[Database[dict[str, Any]]]:
    """A database that this test alone uses; dropped afterwards."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield mongo_client[name]
    mongo_client.drop_database(name)
