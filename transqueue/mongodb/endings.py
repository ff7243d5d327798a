"""What a transaction enqueues when it ends, in the session that ends it, whoever does.

It was made whole when the transaction was accepted, so ending one takes no plugin. Read back in the session after the
ending was written, so that it tells of exactly that end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pymongo
from pymongo import ReturnDocument
from pymongo.client_session import ClientSession
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from ..transaction import Transaction, enqueued_at_end
from .connection import CALL_SECONDS, Connection
from .documents import Document, decode, encode


def enqueue_at_end(connection: Connection, ended: Sequence[str], session: ClientSession) -> None:
    """Enqueue what these transactions, which the session has ended, want to be enqueued."""
    if ended:
        rows = connection.q.find({"_id": {"$in": list(ended)}}, session=session).sort("_id")
        _enqueue(connection, [decode(row) for row in rows], session)


def end_with_more(connection: Connection, present: Mapping[str, Any], update: Any) -> Document | None:
    """Make the one conditional write that ends a transaction, and enqueue what it wants, in a session of its own.

    Returns:
        The document as it is afterwards; none when it is not `present`, and nothing was written.
    """

    def run(session: ClientSession) -> Document | None:
        after = connection.q.find_one_and_update(present, update, return_document=ReturnDocument.AFTER, session=session)
        _enqueue(connection, [decode(after)] if after else [], session)
        return after

    with pymongo.timeout(CALL_SECONDS), connection.client.start_session(causal_consistency=False) as session:
        return session.with_transaction(
            run, read_concern=ReadConcern("snapshot"), write_concern=WriteConcern("majority", j=True)
        )


def _enqueue(connection: Connection, ended: Sequence[Transaction], session: ClientSession) -> None:
    now = connection.clock.now()
    new = [encode(one) for transaction in ended for one in enqueued_at_end(transaction, connection.ids.next, now)]
    if new:
        connection.q.insert_many(new, session=session)
        connection.follows.note(new, session)
