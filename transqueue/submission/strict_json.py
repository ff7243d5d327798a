"""JSON read so strictly that what is stored is what was meant, and written so that numbers look as they were sent.

Refused here, whatever the schemas behind would let through: bytes that are not UTF-8, depth that would exhaust a
parser or BSON, repeated keys, numbers that a database cannot keep exactly, NUL, lone surrogates, and keys that mean
something to MongoDB. The depth is measured before the parser runs. Numbers with a fraction or an exponent are Decimals.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, DecimalException
from functools import cache
from typing import Any

import simplejson

from ..errors import SubmissionRefused

INT64 = range(-(2**63), 2**63)
FLAT = 4  # looks, each of which takes away one level or two: what is deeper is measured bracket by bracket
SHORT = 15  # characters: less than 10^15, and no digit below 10^-14
DIGITS = 34  # of a Decimal128
EXPONENTS = range(-6176, 6112)

# A string without its end counts as one to the end of the text, so that each character is looked at once.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Limits:
    """How deep one JSON text may be nested, and how many keys it may have in all."""

    depth: int
    keys: int


SINGLE = Limits(depth=20, keys=1000)
SINGLE_BYTES = 256 * 1024
BATCH = Limits(depth=SINGLE.depth + 2, keys=100_000)


def read_json(body: bytes, limits: Limits = SINGLE) -> Any:
    """The JSON value of `body`, with an exact Decimal for every number that is not an integer.

    Raises:
        SubmissionRefused: 400 `invalid_json`, with the reason.
    """
    text = _decoded(body)
    _check_depth(body, limits.depth)
    value = _parsed(text)
    check_keys(value, limits.keys)
    _check_value(value)
    return value


def copied(value: Any) -> Any:
    """A copy of a JSON value that shares nothing that can be changed."""
    if isinstance(value, dict):
        return {key: copied(item) if isinstance(item, dict | list) else item for key, item in value.items()}
    return [copied(item) for item in value] if isinstance(value, list) else value


def write_json(value: Any, *, sort_keys: bool = False, strict: bool = False) -> str:
    """`value` as compact JSON: Decimals as the numbers they are, times in ISO 8601 with Z.

    NaN becomes null, and whatever else is not JSON its text; unless `strict`.

    Raises:
        ValueError: strict, and there is a NaN or an infinity.
        TypeError: strict, and there is something that is not JSON.
    """
    return _encoder(sort_keys=sort_keys, strict=strict).encode(value)  # type: ignore[no-any-return]


def is_short(value: Decimal) -> bool:
    """Whether a number has but a few digits in all, on either side of the point: most have, and it is soon seen."""
    text = str(value)
    return len(text) <= SHORT and "E" not in text and value.is_finite()


def has_type(body: bytes) -> bool:
    """Whether a body that `read_json` refused is still plainly meant as a typed one: an object with the key `type`."""
    try:
        value = json.loads(body.decode(), parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and "type" in value


def check_keys(value: Any, limit: int) -> None:
    """Refuse a value with more keys in all than `limit`.

    Raises:
        SubmissionRefused: 400 `invalid_json`.
    """
    if _keys(value) > limit:
        raise refused(f"it has more than {limit} keys")


def refused(reason: str) -> SubmissionRefused:
    """The refusal of a body that is not acceptable JSON."""
    return SubmissionRefused(400, "invalid_json", f"The body is not acceptable JSON: {reason}.")


def too_large() -> SubmissionRefused:
    """The refusal of one submission that is too large."""
    return SubmissionRefused(413, "too_large", f"The submission is larger than {SINGLE_BYTES} bytes.")


def _decoded(body: bytes) -> str:
    if body.startswith(b"\xef\xbb\xbf"):
        raise refused("it starts with a byte order mark")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        raise refused("it is not UTF-8") from None


@cache
def _encoder(*, sort_keys: bool, strict: bool) -> Any:
    """Made once; it keeps nothing from one value to the next."""
    return simplejson.JSONEncoder(
        use_decimal=True,
        ignore_nan=not strict,
        allow_nan=False,
        separators=(",", ":"),
        default=_time if strict else _written,
        sort_keys=sort_keys,
    )


def _check_depth(body: bytes, limit: int) -> None:
    if body.count(b"[") + body.count(b"{") > limit and not (limit >= 2 * FLAT and _is_flat(body)):
        _measure_depth(body, limit)


def _is_flat(body: bytes) -> bool:
    """Whether brackets alone, strings left out, show that it is nested but a few levels; most bodies do."""
    left = _STRING.sub(b"", body).translate(None, _NO_BRACKETS)
    for _ in range(FLAT):
        left = left.replace(b"{}", b"").replace(b"[]", b"")
    return not left


def _measure_depth(body: bytes, limit: int) -> None:
    depth = 0
    for token in _TOKEN.finditer(body):
        first = body[token.start()]
        if first in b"[{":
            depth += 1
        elif first in b"]}":
            depth -= 1
        if depth > limit:
            raise refused(f"it is nested deeper than {limit} levels")


def _parsed(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except SubmissionRefused:
        raise
    except DecimalException:
        raise refused("a number is out of range") from None
    except simplejson.JSONDecodeError as error:
        raise refused(f"{error.msg.partition(':')[0]} at line {error.lineno}, column {error.colno}") from None
    except ValueError:  # Python's own limit on the digits of an integer
        raise refused("an integer does not fit in 64 bits") from None
    except RecursionError:
        raise refused("it is nested too deeply") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise refused("a key occurs twice in one object")
    return made


_DECODER = simplejson.JSONDecoder(parse_float=Decimal, object_pairs_hook=_object)


def _keys(value: Any) -> int:
    """How many keys there are in all; what was parsed has no subclasses of dict and list."""
    kind = type(value)
    if kind is not dict and kind is not list:
        return 0
    count, items = (len(value), value.values()) if kind is dict else (0, value)
    for item in items:
        if type(item) is dict or type(item) is list:
            count += _keys(item)
    return count


def _check_value(value: Any) -> None:
    check = _CHECKS.get(type(value))
    if check:
        check(value)


def _check_object(value: Mapping[str, Any]) -> None:
    for key, item in value.items():
        if not key or key[0] == "$" or "." in key:
            raise refused("a key is empty, starts with '$' or contains '.'")
        _check_text(key)
        check = _CHECKS.get(type(item))
        if check:
            check(item)


def _check_array(value: list[Any]) -> None:
    for item in value:
        _check_value(item)


def _check_text(text: str) -> None:
    if not text.isascii() or "\x00" in text:
        found = _UNSTORABLE.search(text)
        if found:
            raise refused("a text contains NUL" if found[0] == "\x00" else "a text contains half a surrogate pair")


def _check_integer(value: int) -> None:
    if value not in INT64:
        raise refused("an integer does not fit in 64 bits")


def _check_decimal(value: Decimal) -> None:
    if is_short(value):
        return
    _, digits, exponent = value.as_tuple()
    if len(digits) > DIGITS:
        raise refused(f"a number has more than {DIGITS} digits")
    if exponent not in EXPONENTS or not math.isfinite(float(value)):
        raise refused("a number is out of range")


_CHECKS: dict[type, Callable[[Any], None]] = {
    str: _check_text,
    Decimal: _check_decimal,
    int: _check_integer,
    dict: _check_object,
    list: _check_array,
}


def _written(value: Any) -> str:
    return _time(value) if isinstance(value, datetime) else str(value)


def _time(value: Any) -> str:
    if not isinstance(value, datetime):
        raise TypeError(f"not a JSON value: {value!r}")
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
