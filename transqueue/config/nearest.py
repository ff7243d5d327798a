"""The right name that a wrong one was probably meant to be."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """The end of a sentence about a wrong name, `; did you mean 'port'?`, or nothing when none is near."""
    close = get_close_matches(name[:80], list(names), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
