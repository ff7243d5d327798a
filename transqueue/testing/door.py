"""The door, asked without a server: submissions take the way that they take in production, and refusals are raised."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from io import BytesIO
from typing import Any

from ..api.gate import Environ
from ..api.reception import Reception
from ..api.shortcut import Shortcut
from ..errors import SubmissionRefused
from ..submission import write_json


class Door:
    """Submits, which needs no Flask: it is imported for the first request of another kind.

    Args:
        whole: makes the application around the reception.
    """

    def __init__(self, reception: Reception, whole: Callable[[], Any]) -> None:
        self._whole = whole
        self._shortcut = Shortcut(self._otherwise, reception)

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
        environ = _environ(write_json(body, strict=True).encode())
        if idempotency_key:
            environ["HTTP_IDEMPOTENCY_KEY"] = idempotency_key
        answer = _Answer()
        told: Mapping[str, Any] = json.loads(b"".join(self._shortcut(environ, answer)))
        if answer.status != 200:
            raise _refused(answer, told)
        return str(told["data"]["transaction_id"])

    def _otherwise(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        answer: Iterable[bytes] = self._app(environ, start_response)
        return answer

    @cached_property
    def _app(self) -> Any:
        return self._whole()


class _Answer:
    """What a server is told before the body: its part of WSGI."""

    status: int
    headers: Mapping[str, str]

    def __call__(self, status: str, headers: list[tuple[str, str]]) -> None:
        self.status, self.headers = int(status[:3]), dict(headers)


def _environ(body: bytes) -> Environ:
    """A request from this machine, as a server hands it on (PEP 3333)."""
    return {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/api/data/",
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "localhost",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }


def _refused(answer: _Answer, told: Mapping[str, Any]) -> SubmissionRefused:
    seconds = answer.headers.get("Retry-After")
    return SubmissionRefused(
        answer.status,
        told.get("code", "classic_invalid"),
        told["message"],
        errors=told.get("errors"),
        retry_after_seconds=int(seconds) if seconds else None,
    )
