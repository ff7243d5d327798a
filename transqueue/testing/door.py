"""The door, asked without a server: requests go through the whole application, and refusals come back as errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from werkzeug.test import Client

from ..errors import SubmissionRefused
from ..submission import write_json

FROM = {"REMOTE_ADDR": "127.0.0.1"}


class Door:
    """Submits to one application, by werkzeug's client for its tests: Flask's takes a while to import."""

    def __init__(self, app: Any) -> None:
        self._app, self._client = app, Client(app, use_cookies=False)

    @cached_property
    def client(self) -> Any:
        """Flask's test client, for any other request."""
        return self._app.test_client()

    def submit(self, body: Mapping[str, Any], *, idempotency_key: str | None = None) -> str:
        """Post one body, classic or typed; the transaction's id.

        Raises:
            SubmissionRefused: with the status, code, message and field errors of the answer.
            TypeError: the body is not JSON.
        """
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        sent = write_json(body, strict=True)
        answer = self._client.post(
            "/api/data/", data=sent, content_type="application/json", headers=headers, environ_base=FROM
        )
        told: Mapping[str, Any] = json.loads(answer.data)
        if answer.status_code != 200:
            raise _refused(answer, told)
        return str(told["data"]["transaction_id"])


def _refused(answer: Any, told: Mapping[str, Any]) -> SubmissionRefused:
    seconds = answer.headers.get("Retry-After")
    return SubmissionRefused(
        answer.status_code,
        told.get("code", "classic_invalid"),
        told["message"],
        errors=told.get("errors"),
        retry_after_seconds=int(seconds) if seconds else None,
    )
