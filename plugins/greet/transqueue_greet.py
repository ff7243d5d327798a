"""The smallest plugin: one schema, one handler."""

from __future__ import annotations

from marshmallow import Schema, fields

from transqueue import Context, Transaction, handler


class Greeting(Schema):
    """Whom to greet."""

    name = fields.String(required=True, metadata={"example": "Ada"})


@handler("greet", schema=Greeting, max_attempts=3, timeout_seconds=10)
def greet(transaction: Transaction, context: Context) -> dict[str, str]:  # noqa: ARG001  (the contract's second argument)
    """Say hello."""
    return {"message": f"Hello {transaction.data['name']}"}
