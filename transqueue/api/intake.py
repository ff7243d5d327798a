"""The one way from the door into the queue, for single submissions and for batches."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from ..errors import QueueUnavailable, SubmissionRefused
from ..queue import Receipt, TransactionQueue
from ..transaction import Transaction

RETRY_SECONDS = (1, 5)  # spread, so that those refused together do not come back together


class Intake:
    """Enqueues for many threads."""

    def __init__(self, queue: TransactionQueue) -> None:
        self._queue = queue

    def enqueue(self, transactions: Sequence[Transaction]) -> list[Receipt]:
        """One receipt each, in order; returns when they are durable.

        Raises:
            SubmissionRefused: 503 `unavailable`, it is unknown what was stored.
        """
        if not transactions:
            return []
        try:
            return self._queue.enqueue(transactions)
        except QueueUnavailable as error:
            message = (
                "The database did not answer in time, so it is unknown whether this was stored. "
                "Sending it again with the same Idempotency-Key is safe."
            )
            raise unavailable(message) from error


def unavailable(message: str, randint: Callable[[int, int], int] = random.randint) -> SubmissionRefused:
    """The answer while the database is away."""
    return SubmissionRefused(503, "unavailable", message, retry_after_seconds=randint(*RETRY_SECONDS))
