"""The plugin of these measurements: handlers that do nothing, and one that tells when it started."""

from __future__ import annotations

import time
from typing import Any

from marshmallow import Schema, fields

from transqueue import handler


class Payment(Schema):
    """The usual small body."""

    username = fields.String(required=True, metadata={"example": "user123"})
    value = fields.Float(required=True, metadata={"example": 150.0})


@handler("bench.noop", schema=Payment)
def noop(transaction: Any, context: Any) -> None:
    """Do nothing."""


@handler("bench.group", schema=Payment, batch=True)
def group(transactions: Any, context: Any) -> list[None]:
    """Do nothing, for a whole group at once."""
    return [None] * len(transactions)


@handler("bench.started", schema=Payment)
def started(transaction: Any, context: Any) -> float:
    """Tell when it was started, by the clock that all processes of one host share."""
    return time.time()
