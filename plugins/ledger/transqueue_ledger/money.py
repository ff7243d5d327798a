"""Amounts of money as the submitter sent them, and as Decimal128 holds them: exactly.

An amount has at most 15 digits before the point and 18 after it. A balance below 10^16 therefore needs at most 34
digits, which is what Decimal128 has, so no sum is ever rounded. Python's operators round to 28 digits: here only
comparisons, which are exact, and `copy_abs`, `copy_negate`, and `add` and `quantize` with a context are used.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Context, Decimal
from typing import Any

from marshmallow import ValidationError, fields

AMOUNT_LIMIT = Decimal(10) ** 15
BALANCE_LIMIT = Decimal(10) ** 16
LAST_DIGIT = Decimal("1e-18")
SHORT = 15  # characters, point included: no digit of such a number, without an exponent, is out of range

_EXACT = Context(prec=40)


class Money(fields.Field[Decimal]):
    """A finite JSON number; it loads to a Decimal, a float by its shortest form, so that 0.1 is one tenth."""

    default_error_messages = {  # noqa: RUF012  (marshmallow's way)
        "invalid": "Not a valid number.",
        "range": "Must be less than 10^15, with no digit below 10^-18.",
    }

    def __init__(self, *, metadata: Mapping[str, Any] | None = None, **options: Any) -> None:
        super().__init__(metadata={"type": "number", **(metadata or {})}, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Decimal:  # noqa: ARG002
        amount = self._number(value)
        text = str(amount)
        if len(text) <= SHORT and "E" not in text:
            return _shortest(text)
        if amount.copy_abs() >= AMOUNT_LIMIT:
            raise self.make_error("range")
        exact = amount.quantize(LAST_DIGIT, context=_EXACT)
        if exact != amount:
            raise self.make_error("range")
        return _shortest(f"{exact:f}")

    def _number(self, value: Any) -> Decimal:
        if type(value) is Decimal:
            amount = value
        elif isinstance(value, bool) or not isinstance(value, int | float | Decimal):
            raise self.make_error("invalid")
        else:
            amount = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
        if not amount.is_finite():
            raise self.make_error("invalid")
        return amount


def positive(amount: Decimal) -> None:
    """Refuse 0 and less."""
    if amount <= 0:
        raise ValidationError("Must be greater than 0.")


def added(balance: Decimal, amount: Decimal) -> Decimal:
    """The exact sum."""
    return _EXACT.add(balance, amount)


def written(amount: Decimal) -> str:
    """An amount in digits, without an exponent."""
    return f"{amount:f}"


def _shortest(digits: str) -> Decimal:
    """Without the zeros after its point, so that 150.0 is kept as 150."""
    return Decimal(digits.rstrip("0").rstrip(".") if "." in digits else digits) or Decimal(0)
