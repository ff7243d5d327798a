"""Transactions from a Python application, without HTTP: the door's checks, and the application's own session.

    from transqueue.client import Client

    queue = Client("config.yaml", mongo=app_client)
    with app_client.start_session() as session, session.start_transaction():
        app_client.shop.orders.insert_one(order, session=session)
        queue.enqueue("invoice", {"order": order["_id"]}, session=session)

The order and the transaction are stored together, or neither is. The enabled plugins are imported into the application,
for their schemas; those that cannot be are told to the logger `transqueue`, and their types are refused for now. A
throw-away process looks at them before, so that one that hangs or crashes takes no application down.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from .access import Access
from .config import Config, find_config, read_config
from .errors import QueueUnavailable, SubmissionRefused
from .events import Event, Events
from .mongodb import MongoQueue, connect
from .mongodb.borrowed import BorrowedQueue
from .mongodb.embedded import attach
from .plugins import load_plugins
from .plugins.probe import survived
from .submission import (
    KEY,
    SINGLE_BYTES,
    Admission,
    key_reused,
    read_envelope,
    read_json,
    too_large,
    write_json,
)

__all__ = ["Client", "QueueUnavailable", "SubmissionRefused"]

LOGGER = logging.getLogger("transqueue")


class Client:
    """Enqueues for one application, from any of its threads. Make it once per process, after a fork.

    Args:
        config_file: the file that the API and the workers go by; else TRANSQUEUE_CONFIG, else `./config.yaml`.
        mongo: the application's `pymongo.MongoClient` on the replica set of `mongodb.uri`; without it one is opened.
        submitter: in whose name it submits; idempotency keys are per submitter.

    Raises:
        ConfigInvalid: the file is not valid.
        TransQueueError: the database cannot be used, or two plugins claim one type.
    """

    def __init__(
        self, config_file: str | os.PathLike[str] | None = None, *, mongo: Any = None, submitter: str | None = None
    ) -> None:
        file = os.fspath(config_file) if config_file is not None else None
        config = read_config(find_config(file, os.environ, Path.cwd()), os.environ)
        self._own = _opened(config) if mongo is None else None
        self._queue = BorrowedQueue(self._own.database.client if self._own else mongo, config.mongodb.database)
        self._access = Access.local() if submitter is None else replace(Access.local(), submitter=submitter)
        events = Events(_log)
        config = survived(config)
        table = load_plugins(config, events=events, known_types=self._queue.known_types())
        self._admission = Admission(
            table=table, default_type=config.default_type, clock=self._queue.clock, events=events
        )

    def enqueue(
        self,
        type: str,
        data: Mapping[str, Any],
        *,
        idempotency_key: str | None = None,
        session: Any = None,
        **options: Any,
    ) -> str:
        """Store a transaction durably, or, with `session`, together with what its open transaction writes.

        The same `idempotency_key` again gives the first one's id. `options` are those of the door: `delay_seconds`,
        `run_at`, `priority`, and the plugins' own.

        Returns:
            The transaction's id.

        Raises:
            SubmissionRefused: the door would refuse it; `status`, `code`, `message` and `errors` say why.
            QueueUnavailable: unknown whether it is stored; enqueueing it again with the same key is safe.
            ValueError: the session has no open transaction.
            TypeError: something in `data` or `options` is not JSON.
            PyMongoError: in a session, as PyMongo raises it; `with_transaction` runs it again where that helps.
        """
        if session is not None and not session.in_transaction:
            raise ValueError("the session has no open transaction: use start_transaction() or with_transaction()")
        sent = {"type": type, "data": data} | ({"options": options} if options else {})
        body = write_json(sent, strict=True).encode()
        if len(body) > SINGLE_BYTES:
            raise too_large()
        envelope = read_envelope(read_json(body))
        self._queue.follow_clock()
        new = self._admission.admit(envelope, key=_checked(idempotency_key), access=self._access)
        receipt = self._queue.enqueue(new) if session is None else self._queue.enqueue_in(session, new)
        if receipt.key_reused:
            raise key_reused()
        return receipt.transaction.id

    def close(self) -> None:
        """Close what the client opened itself; the application's own client stays open."""
        if self._own:
            self._own.close()


def _opened(config: Config) -> MongoQueue:
    uri = config.mongodb.uri or attach(config.data_dir)
    if not uri:
        raise QueueUnavailable("the private MongoDB is not running: start it with `transqueue up`, or set mongodb.uri")
    return connect(uri, config.mongodb.database)


def _checked(key: str | None) -> str | None:
    if key is not None and not (isinstance(key, str) and KEY.fullmatch(key)):
        message = "An idempotency key is 1 to 255 visible ASCII characters."
        raise SubmissionRefused(400, "invalid_idempotency_key", message)
    return key


def _log(event: Event) -> None:
    LOGGER.warning("%s %s", event.name, dict(event.facts))
