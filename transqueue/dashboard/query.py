"""What a query string says, within bounds: a number out of range becomes the nearest one, what makes no sense nothing.

A page is bookmarked, edited by hand and sent around, so it shows something sensible for any address.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, datetime

from werkzeug.datastructures import MultiDict

from ..handlers import TYPE_LENGTH
from ..transaction import ID_LENGTH

TEXT_LENGTH = 256
PAGE, LARGEST_PAGE = 50, 200

_ID = re.compile(rf"[0-9]{{{ID_LENGTH}}}")
_CURSOR = re.compile(rf"[0-9]{{1,{ID_LENGTH}}}|[0-9a-f]{{24}}")
_NUMBER = re.compile(r"-?[0-9]{1,18}")

Arguments = MultiDict[str, str]


def text(arguments: Arguments, name: str, longest: int = TEXT_LENGTH) -> str | None:
    """A text, cut; none when it is empty or has what the database does not take."""
    given = arguments.get(name, "").strip()[:longest]
    return given if given and "\0" not in given else None


def type_name(arguments: Arguments) -> str | None:
    """A transaction type."""
    return text(arguments, "type", TYPE_LENGTH)


def number(arguments: Arguments, name: str, default: int, low: int, high: int) -> int:
    """A whole number from `low` to `high`."""
    given = arguments.get(name, "")
    return min(high, max(low, int(given))) if _NUMBER.fullmatch(given) else default


def limit(arguments: Arguments) -> int:
    """How many rows a page has."""
    return number(arguments, "limit", PAGE, 1, LARGEST_PAGE)


def choice(arguments: Arguments, name: str, options: Collection[str], default: str) -> str:
    """One of the options."""
    given = arguments.get(name, default)
    return given if given in options else default


def moment(arguments: Arguments, name: str) -> datetime | None:
    """A time as `<input type="datetime-local">` sends it, taken as UTC; of this millennium."""
    try:
        found = datetime.fromisoformat(arguments.get(name, "")[:32])
    except ValueError:
        return None
    found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    return found if datetime(2000, 1, 1, tzinfo=UTC) <= found < datetime(2200, 1, 1, tzinfo=UTC) else None


def cursor(arguments: Arguments) -> str | None:
    """Where the page before ended."""
    given = arguments.get("after", "")
    return given if _CURSOR.fullmatch(given) else None


def is_id(given: str) -> bool:
    """Whether it is a transaction id."""
    return _ID.fullmatch(given) is not None
