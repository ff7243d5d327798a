"""Each error that a server may answer with, for each verb that it can meet: retried within the deadline, or unknown and
then repeated, and in the end there once.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from faults.verbs import VERBS, until_answered
from integration.conftest import Desk, Faults
from pymongo import MongoClient

from transqueue.mongodb import connect

SESSION_SECONDS = 10.0
RETRYABLE, TRANSIENT = ["RetryableWriteError"], ["TransientTransactionError"]

# What the server does to the verb's command, and how often.
ERRORS: dict[str, Mapping[str, Any]] = {
    "it is not the primary any more (10107)": {"errorCode": 10107, "errorLabels": RETRYABLE, "times": 1},
    "it is not the primary, twice (10107)": {"errorCode": 10107, "errorLabels": RETRYABLE, "times": 2},
    "it steps down meanwhile (11602)": {"errorCode": 11602, "errorLabels": RETRYABLE, "times": 1},
    "it closes the connection": {"closeConnection": True, "times": 1},
    "it closes the connection twice": {"closeConnection": True, "times": 2},
    "its time is over (50)": {"errorCode": 50, "times": 1},
}
APPLIED: dict[str, Mapping[str, Any]] = {
    "it shuts down, and has applied it (91)": {
        "writeConcernError": {"code": 91, "errmsg": "shutting down"},
        "errorLabels": RETRYABLE,
        "times": 1,
    },
    "no majority in time, and it has applied it (64)": {
        "writeConcernError": {"code": 64, "errmsg": "waiting for replication timed out"},
        "times": 1,
    },
}
IN_A_SESSION: dict[str, Mapping[str, Any]] = {
    "a write conflict, three times (112)": {"errorCode": 112, "errorLabels": TRANSIENT, "times": 3},
    "there is no such session any more (251)": {"errorCode": 251, "errorLabels": TRANSIENT, "times": 1},
}
COMMITTING = {"it closes the connection six times": {"closeConnection": True, "times": 6}}
ALL = ERRORS | APPLIED | IN_A_SESSION | COMMITTING
ROWS = [
    *((verb, error) for verb in VERBS for error in ERRORS),
    *((verb, error) for verb in VERBS for error in APPLIED if verb != "settle with effects"),  # it waits at the commit
    *((verb, error) for verb in ("lease in order", "settle with effects", "commit") for error in IN_A_SESSION),
    *(("commit", error) for error in COMMITTING),
]
# Where one call ends unknown and has to be repeated; all others are answered within their own deadline.
UNKNOWN = {
    *(("renew", error) for error in ERRORS | APPLIED),  # no driver repeats a write of many; the next turn does
    *((verb, "its time is over (50)") for verb in VERBS if verb != "settle"),
    *((verb, "no majority in time, and it has applied it (64)") for verb in ("enqueue", "lease", "lease many")),
}


@pytest.fixture(scope="module")
def queue_and_desk(mongo_uri: str, mongo_client: MongoClient[dict[str, Any]]) -> Iterator[tuple[Any, Desk, Any]]:
    """A queue that meets the errors, a desk, and the database that all rows share."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    queue, near = connect(mongo_uri, name), connect(mongo_uri, name)
    yield queue, Desk(near), mongo_client[name]
    queue.close()
    near.close()
    mongo_client.drop_database(name)


@pytest.mark.parametrize(("verb", "error"), ROWS, ids=[f"{verb}: {error}" for verb, error in ROWS])
def test_it_counts_once(queue_and_desk: tuple[Any, Desk, Any], fail: Faults, verb: str, error: str) -> None:
    queue, desk, database = queue_and_desk
    for collection in ("Q", "Workers", "Lanes", "Keys", "Paid"):
        database[collection].delete_many({})
    doing = VERBS[verb](desk, SESSION_SECONDS)
    fail(doing.command[0], **ALL[error])
    repeats = until_answered(doing, queue)
    fail.stop()
    doing.check()
    assert (repeats > 0) == ((verb, error) in UNKNOWN)
