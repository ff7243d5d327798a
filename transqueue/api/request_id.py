"""The id of a request: the client's own `X-Request-Id` when it is well formed, else a new one.

It is in the answer, on the transactions that the request submits, and on every line that is logged of either, so that
one search finds the way from the door to the handler.
"""

from __future__ import annotations

import os
import re
from typing import cast

from ..facts import present
from .gate import Environ

HEADER = "X-Request-Id"
PATTERN = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
ID_BYTES = 16
ID = "transqueue.request_id"


def begin(environ: Environ) -> None:
    """Give a request its id; from here on it is the present one."""
    sent = environ.get("HTTP_X_REQUEST_ID", "")
    environ[ID] = id = sent if PATTERN.fullmatch(sent) else os.urandom(ID_BYTES).hex()
    facts = {"request_id": id}
    present.set(lambda: facts)


def request_id(environ: Environ) -> str:
    """The id of a request that has begun."""
    return cast("str", environ[ID])
