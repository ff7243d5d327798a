"""Idempotency keys: what a submitter may use as one, how a batch derives them, and what makes two bodies the same.

The header follows draft-ietf-httpapi-idempotency-key-header (a quoted string of RFC 8941) and takes the bare form too.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from ..errors import SubmissionRefused
from .strict_json import write_json

KEY = re.compile(r"[!-~]{1,255}")

_BARE = re.compile(r"[!#-~]{1,255}")
_QUOTED = re.compile(r'"((?:[!#-\[\]-~]|\\["\\]){1,510})"')
HEADER_PATTERN = f"^(?:{_BARE.pattern}|{_QUOTED.pattern})$"  # in the terms of JSON Schema

_ESCAPED = re.compile(r"\\(.)")


def key_from_header(header: str | None) -> str | None:
    """The key in an `Idempotency-Key` header, none without one.

    Raises:
        SubmissionRefused: 400 `invalid_idempotency_key`.
    """
    if header is None:
        return None
    quoted = _QUOTED.fullmatch(header)
    key = _ESCAPED.sub(r"\1", quoted[1]) if quoted else header
    if not (KEY if quoted else _BARE).fullmatch(key):
        raise SubmissionRefused(
            400,
            "invalid_idempotency_key",
            "Idempotency-Key must be 1 to 255 visible ASCII characters, bare or in double quotes.",
        )
    return key


def position_key(key: str, position: int) -> str:
    """The key of one item of a batch. A submitter's own key has no blank in it, so the two never meet."""
    return f"{key} #{position}"


def body_hash(type: str | None, data: Any, options: Any) -> str:
    """SHA-256, in hex, of what was sent: the same whatever the order of keys. A classic body has no type."""
    canonical = write_json({"type": type, "data": data, "options": options}, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def key_reused() -> SubmissionRefused:
    """The refusal of a known key with another body."""
    message = "This Idempotency-Key was used before, with another body; nothing was stored."
    return SubmissionRefused(422, "idempotency_key_reused", message)
