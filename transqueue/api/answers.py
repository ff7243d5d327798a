"""What the door answers: one shape for success, one for errors, numbers as they were sent.

Nothing from an exception reaches an answer but the message of an error that was made for the submitter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from ..errors import SubmissionRefused
from ..submission import CLASSIC_INVALID, Envelope, write_json
from ..transaction import State, Transaction

PROTECTION = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
JSON = "application/json"
CHALLENGE = (("WWW-Authenticate", 'Bearer realm="transqueue"'),)
_HEADERS = (*PROTECTION.items(), ("Content-Type", JSON))
_INTERNAL = ("traceback", "lease")  # of an error, and of a history entry
_STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


@dataclass(frozen=True, slots=True)
class Reply:
    """A JSON answer, as bytes and headers: what both ways to a submission's answer have in common."""

    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    status: int = 200

    def sent(self, start_response: Any, *more: tuple[str, str]) -> list[bytes]:
        """As a server takes it, without a response object in between."""
        length = ("Content-Length", str(len(self.body)))
        start_response(_STATUS_LINES[self.status], [*_HEADERS, length, *self.headers, *more])
        return [self.body]


def reply(body: Mapping[str, Any], *headers: tuple[str, str]) -> Reply:
    """The answer that all went well."""
    return Reply(write_json(body).encode(), headers)


def accepted_body(envelope: Envelope, type: str, transaction_id: str) -> dict[str, Any]:
    """The answer to an accepted submission, the same at each replay: in the shape that was sent, as it was sent."""
    if envelope.classic:
        username = envelope.data["username"]
        data = {"username": username, "value": envelope.data["value"], "transaction_id": transaction_id}
        return {"status": "success", "message": f"Data received for user {username}", "data": data}
    data = {"transaction_id": transaction_id, "type": type, "state": State.QUEUED, "data": envelope.data}
    return {"status": "success", "message": f"Transaction of type {type} accepted", "data": data}


def refusal_body(error: SubmissionRefused) -> dict[str, Any]:
    """The answer to a refused submission; the classic one has exactly two keys."""
    body: dict[str, Any] = {"status": "error", "message": error.message}
    if error.code != CLASSIC_INVALID:
        body["code"] = error.code
        if error.errors:
            body["errors"] = error.errors
    return body


def refusal(error: SubmissionRefused) -> Reply:
    """The answer to a refused request."""
    seconds = error.retry_after_seconds
    headers = (() if seconds is None else (("Retry-After", str(seconds)),)) + (CHALLENGE if error.status == 401 else ())
    return Reply(write_json(refusal_body(error)).encode(), headers, error.status)


def shown(transaction: Transaction) -> dict[str, Any]:
    """A transaction as submitters see it."""
    return {
        "transaction_id": transaction.id,
        "type": transaction.type,
        "state": transaction.state,
        "data": transaction.data,
        "attempts": transaction.attempts,
        "created_at": transaction.created_at,
        "due_at": transaction.due_at,
        "finished_at": transaction.finished_at,
        "result": transaction.result,
        "error": _without_internals(transaction.error),
        "history": [_without_internals(entry) for entry in transaction.history],
    }


def _without_internals(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {name: _without_internals(item) for name, item in value.items() if name not in _INTERNAL}
