"""What a plain word of YAML means: the core schema of YAML 1.2.2, section 10.3.2, and nothing that looks like more.

So `yes`, `1:30` and `1_000` are text. What another reader of YAML would take for something else (octal numbers, dates)
or what cannot be stored (infinity, more than 64 bits) is refused instead of guessed.
"""

from __future__ import annotations

import math
import re

Scalar = None | bool | int | float | str

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_OCTAL_OR_HEX = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ].*)?", re.DOTALL)

_DIGITS_OF_64_BITS = 20  # with a sign; longer ones are not worth converting


def read_scalar(text: str) -> Scalar:
    """The value of a scalar written without quotes.

    Raises:
        ValueError: it is refused, with the reason.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _DATE.fullmatch(text):
        raise ValueError("a date must stand in quotes")
    if _LEADING_ZERO.fullmatch(text):
        raise ValueError("a number must not begin with 0: remove the zeros, or put it in quotes if it is text")
    if _DECIMAL.fullmatch(text) or _OCTAL_OR_HEX.fullmatch(text):
        return _whole(text)
    if _FLOAT.fullmatch(text) or _NOT_FINITE.fullmatch(text):
        return _finite(text)
    return text


def _whole(text: str) -> int:
    number = int(text, 0) if len(text) <= _DIGITS_OF_64_BITS else 2**63
    if not -(2**63) <= number < 2**63:
        raise ValueError("the number is out of range: it must fit into 64 bits")
    return number


def _finite(text: str) -> float:
    number = math.inf if _NOT_FINITE.fullmatch(text) else float(text)
    if not math.isfinite(number):
        raise ValueError("the number is out of range: it must be finite")
    return number
