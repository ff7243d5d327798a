"""How pages say numbers, spans and times: short, and exact where one looks twice."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import simplejson

from ..submission import write_json

SHOWN_LENGTH = 64 * 1024  # characters of one value; the API has all of it

_UNITS = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
_SIZES = ("B", "KiB", "MiB", "GiB", "TiB")


def span(seconds: float | None) -> str:
    """A span of time in at most two units: `2 h 5 min`, `1.25 s`, `12 ms`."""
    if seconds is None:
        return "-"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms" if seconds >= 0.001 else f"{max(0.0, seconds) * 1000:.1g} ms"
    if seconds < 10:
        return f"{seconds:.2g} s"
    left, said = round(seconds), []
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        if count:
            said.append(f"{count} {unit}")
        elif said:
            break
    return " ".join(said[:2])


def ago(moment: datetime, now: datetime) -> str:
    """`3 min ago`, or `in 3 min`."""
    seconds = (now - moment).total_seconds()
    if abs(seconds) < 1:
        return "now"
    unit, size = next(((unit, size) for unit, size in _UNITS if abs(seconds) >= size), _UNITS[-1])
    said = f"{abs(seconds) / size:.0f} {unit}"
    return f"{said} ago" if seconds > 0 else f"in {said}"


def exact(moment: datetime) -> str:
    """A time to the millisecond, in UTC."""
    utc = moment.astimezone(UTC)
    return f"{utc:%Y-%m-%d %H:%M:%S}.{utc.microsecond // 1000:03d} UTC"


def count(number: float | None) -> str:
    """A number with its thousands apart, and one decimal where it is small and not whole."""
    if number is None:
        return "-"
    if number == int(number):
        return f"{int(number):,}"
    return f"{number:,.1f}" if abs(number) < 100 else f"{number:,.0f}"


def size(number: float) -> str:
    """A number of bytes."""
    for unit in _SIZES:
        if number < 1024 or unit == _SIZES[-1]:
            break
        number /= 1024
    return f"{number:.0f} {unit}" if number >= 10 or unit == "B" else f"{number:.1f} {unit}"


def pretty(value: Any) -> str:
    """A JSON value in lines, cut where it is very long."""
    written = value if isinstance(value, str) else in_lines(value)
    return written if len(written) <= SHOWN_LENGTH else f"{written[:SHOWN_LENGTH]}\n… (cut; the API gives all of it)"


def in_lines(value: Any) -> str:
    """A JSON value, indented."""
    plain = simplejson.loads(write_json(value), use_decimal=True)
    return str(simplejson.dumps(plain, use_decimal=True, indent=2, ensure_ascii=False))


FILTERS: Mapping[str, Any] = {"span": span, "exact": exact, "count": count, "size": size, "pretty": pretty}
