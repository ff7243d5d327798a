"""What an operator does, from a page, a request or a command: the action, and then its entry in the audit.

The entry says what happened, so it is written after the action. When it cannot be written, the caller is told that the
database is away, and the transaction's own history still has the move.
"""

from __future__ import annotations

from collections.abc import Mapping

from .queue import TransactionQueue


class Operator:
    """One person or key, acting on the queue."""

    def __init__(self, queue: TransactionQueue, by: str) -> None:
        self._queue, self.by = queue, by

    def cancel(self, transaction_id: str) -> bool:
        """Cancel a queued or dead transaction. False: it is in no such state.

        Raises:
            QueueUnavailable: the database did not answer.
        """
        return self._told(self._queue.cancel(transaction_id), "transaction.cancelled", transaction_id)

    def retry(self, transaction_id: str, *, more_attempts: int) -> bool:
        """Queue a dead transaction again. False: it is not dead.

        Raises:
            QueueUnavailable: the database did not answer.
        """
        done = self._queue.redrive(transaction_id, more_attempts=more_attempts)
        return self._told(done, "transaction.retried", transaction_id, more_attempts=more_attempts)

    def pause(self, type: str, reason: str = "") -> bool:
        """Pause a type or family. False: it was paused already.

        Raises:
            QueueUnavailable: the database did not answer.
        """
        return self._told(self._queue.pause(type, by=self.by, reason=reason), "type.paused", type, reason=reason)

    def resume(self, type: str) -> bool:
        """Resume a type or family. False: it was not paused.

        Raises:
            QueueUnavailable: the database did not answer.
        """
        return self._told(self._queue.resume(type), "type.resumed", type)

    def record(self, action: str, target: str, facts: Mapping[str, object]) -> None:
        """Something else was done, to many at once, say.

        Raises:
            QueueUnavailable: the database did not answer.
        """
        self._queue.audit.record(self.by, action, target, facts)

    def _told(self, done: bool, action: str, target: str, **facts: object) -> bool:
        if done:
            self._queue.audit.record(self.by, action, target, facts)
        return done
