"""The query of a request, held to a schema."""

from __future__ import annotations

from typing import Any

from flask import request
from marshmallow import Schema, ValidationError

from ..submission import invalid_data


def query(schema: Schema) -> dict[str, Any]:
    """The parameters of the present request, as the schema loads them.

    Raises:
        SubmissionRefused: 400 `invalid_data`.
    """
    try:
        loaded: dict[str, Any] = schema.load(request.args.to_dict())
    except ValidationError as error:
        raise invalid_data(error.messages) from None
    return loaded
