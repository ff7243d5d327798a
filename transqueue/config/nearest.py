"""The right name that a wrong one was probably meant to be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """The end of a sentence about a wrong name, `; did you mean 'port'?`, or nothing when none is near."""
    close = nearest(name[:80], names, 1)
    return f"; did you mean {close[0]!r}?" if close else ""


def nearest(name: str, names: Iterable[str], count: int) -> Sequence[str]:
    """The names that are near to one, at most so many, the nearest first."""
    from difflib import get_close_matches  # noqa: PLC0415  (slow, and only for what is wrong)

    return get_close_matches(name, list(names), n=count)
