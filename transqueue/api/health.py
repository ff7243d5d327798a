"""Whether the process is alive, whether it can accept, and how much waits."""

from __future__ import annotations

from dataclasses import asdict

from flask import Response

from ..admin.measures import COUNTED
from ..errors import QueueUnavailable, SubmissionRefused
from ..queue import TransactionQueue
from ..submission import Table
from ..transaction import ID_LENGTH
from .responses import answer, success

NO_ID = "0" * ID_LENGTH
RETRY_SECONDS = 2


class Health:
    """What probes and admins ask."""

    def __init__(self, queue: TransactionQueue, table: Table, default_type: str) -> None:
        self._queue, self._table, self._default_type = queue, table, default_type

    def alive(self) -> Response:
        """Answers while the process can answer anything; touches neither database nor locks."""
        return answer({"status": "success"})

    def ready(self) -> Response:
        """Whether submissions can be accepted, or 503 with every reason why not."""
        reasons = {"database": self._database_trouble(), "default_type": self._type_trouble()}
        errors = {name: [reason] for name, reason in reasons.items() if reason}
        if errors:
            message = f"Not ready: {'; '.join(reason for reason in reasons.values() if reason)}."
            raise SubmissionRefused(503, "not_ready", message, errors=errors, retry_after_seconds=RETRY_SECONDS)
        return answer({"status": "success"})

    def stats(self) -> Response:
        """How many are in which state, counted up to a bound; how deep the queue was lately; what is paused."""
        depths = self._queue.measures.depths()
        told = {
            "types": self._queue.counts(at_most=COUNTED),
            "counted_to": COUNTED,
            "depths": {"at": depths.at, "types": {type: asdict(one) for type, one in depths.types.items()}},
            "paused": {type: asdict(one) for type, one in self._queue.paused().items()},
        }
        return success(told)

    def workers(self) -> Response:
        """The worker processes that are alive, on every host."""
        return success({"workers": [asdict(worker) for worker in self._queue.workers()]})

    def _database_trouble(self) -> str | None:
        try:
            self._queue.get(NO_ID)
        except QueueUnavailable:
            return "the database does not answer"
        return None

    def _type_trouble(self) -> str | None:
        if self._table.resolve(self._default_type):
            return None
        reason = self._table.parked(self._default_type) or "no enabled plugin claims it"
        return f"the default type {self._default_type!r} has no handler: {reason}"
