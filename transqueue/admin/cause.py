"""What dead transactions have in common: their type, the exception, and its message without what differs.

`KeyError: 'ann' at 0x7f12` and `KeyError: 'bob' at 0x7f99` are one cause. The words are stored with a dead transaction,
so that causes can be told, counted and acted on from an index alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

CAUSE_LENGTH = 240

_VARIES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b"), "…"),
    (re.compile(r"\b0x[0-9a-fA-F]+\b"), "…"),
    (re.compile(r"'[^']*'|\"[^\"]*\""), "…"),
    (re.compile(r"\b(?=[0-9a-fA-F]*[0-9])[0-9a-fA-F]{12,}\b"), "…"),
    (re.compile(r"\d+(?:[.,:]\d+)*"), "…"),
    (re.compile(r"\s+"), " "),
)
_WHOLLY_QUOTED = re.compile(r"^(['\"])(.*)\1$", re.DOTALL)  # as the message of a KeyError is
_LOOKED_AT = 2 * CAUSE_LENGTH  # characters of a message, which may be long and hostile


def cause_of(type: str, error: Mapping[str, Any] | None) -> str:
    """The cause of a dead transaction of a type: `<type> <exception>: <message>`; a type contains no blank."""
    error = error or {}
    message = _WHOLLY_QUOTED.sub(r"\2", str(error.get("message", ""))[:_LOOKED_AT])
    for pattern, instead in _VARIES:
        message = pattern.sub(instead, message)
    return f"{type} {error.get('type', 'unknown')}: {message.strip()}"[:CAUSE_LENGTH]


def parts_of(cause: str) -> tuple[str, str, str]:
    """The type, the exception and the message of a cause."""
    type, _, error = cause.partition(" ")
    name, _, message = error.partition(": ")
    return type, name, message
