"""What is answered to a request that went wrong, whatever went wrong with it."""

from __future__ import annotations

from ..errors import QueueUnavailable, SubmissionRefused, where
from ..events import Events
from .answers import Reply, refusal
from .gate import Environ
from .intake import unavailable

INTERNAL_RETRY_SECONDS = 5


class Refusals:
    """Makes the answer of an error."""

    def __init__(self, events: Events) -> None:
        self._events = events

    def of(self, error: Exception, environ: Environ) -> Reply:
        """The answer; what nobody expected is logged."""
        if isinstance(error, SubmissionRefused):
            return refusal(error)
        if isinstance(error, QueueUnavailable):
            return refusal(unavailable("The database did not answer in time; try again."))
        return self._unexpected(error, environ)

    def _unexpected(self, error: Exception, environ: Environ) -> Reply:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        self._events.emit("request.failed", method=method, path=path, error=where(error))
        message = "Something went wrong inside; it has been logged. Whether anything was stored is unknown."
        return refusal(SubmissionRefused(503, "internal", message, retry_after_seconds=INTERNAL_RETRY_SECONDS))
