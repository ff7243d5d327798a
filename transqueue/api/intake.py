"""The one way from the door into the queue, for single submissions and for batches."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from ..errors import QueueUnavailable, SubmissionRefused, Unstorable
from ..queue import Receipt, Sealed, TransactionQueue
from ..transaction import Transaction
from .groups import Crowded, Groups

RETRY_SECONDS = (1, 5)  # spread, so that those refused together do not come back together
UNKNOWN = (
    "The database did not answer in time, so it is unknown whether this was stored. "
    "Sending it again with the same Idempotency-Key is safe."
)


class Intake:
    """Stores what many threads bring."""

    def __init__(self, queue: TransactionQueue) -> None:
        self._queue = queue
        self._groups = Groups(queue.enqueue_each)

    def seal(self, transaction: Transaction) -> Sealed:
        """The transaction encoded, by the request that brings it, so that one which cannot be stored spoils no group.

        Raises:
            SubmissionRefused: 400 `invalid_data`.
        """
        try:
            return self._queue.seal(transaction)
        except Unstorable as error:
            raise SubmissionRefused(400, "invalid_data", "The submission cannot be stored as it is.") from error

    def store(self, sealed: Sealed) -> Receipt:
        """The receipt of one submission, written together with those that come at the same time, when it is durable.

        Raises:
            SubmissionRefused: 503 `busy`, nothing was stored; 503 `unavailable`, it is unknown whether it was.
        """
        try:
            return self._groups.store(sealed)
        except Crowded as crowded:
            raise busy("Too many submissions at once; nothing was stored.") from crowded
        except QueueUnavailable as error:
            raise unavailable(UNKNOWN) from error

    def store_all(self, sealed: Sequence[Sealed]) -> list[Receipt]:
        """One receipt each, in order; returns when they are durable.

        Raises:
            SubmissionRefused: 503 `unavailable`, it is unknown what was stored.
        """
        answers = self._queue.enqueue_each(sealed) if sealed else []
        receipts = [answer for answer in answers if isinstance(answer, Receipt)]
        if len(receipts) < len(answers):
            raise unavailable(UNKNOWN)
        return receipts


def busy(message: str, randint: Callable[[int, int], int] = random.randint) -> SubmissionRefused:
    """The answer to what comes while as much as may wait is waiting."""
    return SubmissionRefused(503, "busy", message, retry_after_seconds=randint(*RETRY_SECONDS))


def unavailable(message: str, randint: Callable[[int, int], int] = random.randint) -> SubmissionRefused:
    """The answer while the database is away."""
    return SubmissionRefused(503, "unavailable", message, retry_after_seconds=randint(*RETRY_SECONDS))
