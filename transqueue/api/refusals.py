"""What is answered to a request that went wrong, whatever went wrong with it."""

from __future__ import annotations

from flask import Response
from werkzeug.exceptions import HTTPException

from ..errors import QueueUnavailable, SubmissionRefused, where
from ..events import Events
from .answers import answer, refusal
from .gate import Environ
from .intake import unavailable

INTERNAL_RETRY_SECONDS = 5


class Refusals:
    """Makes the answer of an error."""

    def __init__(self, events: Events) -> None:
        self._events = events

    def of(self, error: Exception, environ: Environ) -> Response:
        """The answer; what nobody expected is logged."""
        if isinstance(error, SubmissionRefused):
            return refusal(error)
        if isinstance(error, QueueUnavailable):
            return refusal(unavailable("The database did not answer in time; try again."))
        if isinstance(error, HTTPException):
            return _http_error(error)
        return self._unexpected(error, environ)

    def _unexpected(self, error: Exception, environ: Environ) -> Response:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        self._events.emit("request.failed", method=method, path=path, error=where(error))
        message = "Something went wrong inside; it has been logged. Whether anything was stored is unknown."
        return refusal(SubmissionRefused(503, "internal", message, retry_after_seconds=INTERNAL_RETRY_SECONDS))


def _http_error(error: HTTPException) -> Response:
    code = error.name.lower().replace(" ", "_")
    headers = {name: value for name, value in error.get_headers() if name == "Allow"}
    body = {"status": "error", "message": error.description or error.name, "code": code}
    return answer(body, error.code or 400, headers)
