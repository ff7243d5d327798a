"""The name of an account, as every type of this plugin takes it."""

from __future__ import annotations

from typing import Any

from marshmallow import fields, validate

USERNAME_LENGTH = 256


def username(example: str, **options: Any) -> fields.String:
    """A required field for a username."""
    length = validate.Length(min=1, max=USERNAME_LENGTH)
    return fields.String(required=True, validate=length, metadata={"example": example}, **options)
