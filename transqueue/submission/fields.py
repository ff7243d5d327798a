"""Marshmallow fields that take a value only as what it is in JSON, and give it back unchanged."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from marshmallow import fields


class Number(fields.Field[int | Decimal]):
    """A JSON number: no boolean, no string."""

    default_error_messages = {"invalid": "Not a valid number."}  # noqa: RUF012 (marshmallow's own way)

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int | Decimal:
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            raise self.make_error("invalid")
        return value


class Object(fields.Field[dict[str, Any]]):
    """A JSON object."""

    default_error_messages = {"invalid": "Not a valid object."}  # noqa: RUF012 (marshmallow's own way)

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.make_error("invalid")
        return value
