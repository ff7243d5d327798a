"""The id of a request: the client's own `X-Request-Id` when it is well formed, else a new one.

It is in the answer, on the transactions that the request submits, and on every line that is logged of either, so that
one search finds the way from the door to the handler.
"""

from __future__ import annotations

import re
import uuid
from typing import cast

from flask import Response, g, request

from ..facts import present

HEADER = "X-Request-Id"
PATTERN = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")


def begin() -> None:
    """Give the present request its id."""
    sent = request.environ.get("HTTP_X_REQUEST_ID", "")
    g.request_id = sent if PATTERN.fullmatch(sent) else uuid.uuid4().hex
    facts = {"request_id": g.request_id}
    present.set(lambda: facts)


def answered(response: Response) -> Response:
    """Put the id into the answer."""
    if "request_id" in g:
        response.headers[HEADER] = g.request_id
    return response


def request_id() -> str:
    """The id of the present request."""
    return cast("str", g.request_id)
