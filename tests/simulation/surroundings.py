"""What the real code has no argument for, replaced while a simulation runs.

PyMongo's deadlines and its time-outs of retried sessions go by simulated time: its own code for them then is simulated
too. What costs time and decides nothing (reading one URI again and again, masking signals around a spawn, sharing a
mark between processes, looking for the memory of one that has none, spelling out where a handler raised) is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from types import SimpleNamespace
from typing import Any

from pymongo import _csot
from pymongo.synchronous import client_session
from pymongo.uri_parser import parse_uri

from transqueue import attempt
from transqueue.mongodb import connection
from transqueue.process.marker import Fields, Marker
from transqueue.supervisor import child


@contextmanager
def simulated_surroundings(now: Callable[[], float]) -> Iterator[None]:
    """Let PyMongo look at another clock meanwhile. (Its modules take theirs from `time`, and no argument.)"""
    kept = [(owner, name, getattr(owner, name)) for owner, name, _ in _replaced(now)]
    for owner, name, instead in _replaced(now):
        setattr(owner, name, instead)
    try:
        yield
    finally:
        for owner, name, before in kept:
            setattr(owner, name, before)


def _replaced(now: Callable[[], float]) -> tuple[tuple[Any, str, Any], ...]:
    """Whose, which, and by what. (`unittest.mock` would do, at several times the cost.)"""
    return (
        (_csot, "time", SimpleNamespace(monotonic=now)),
        (client_session, "time", SimpleNamespace(monotonic=now, sleep=_no_sleep)),
        (client_session, "random", SimpleNamespace(random=lambda: 0.5)),
        (connection, "parse_uri", _parsed),
        (child, "interrupts_held", nullcontext),
        (child, "resident_bytes", lambda pid: 0),
        (Marker, "_memory", lambda _: Fields()),
        (attempt, "traceback", SimpleNamespace(format_exception=lambda _: ["somewhere"])),
    )


def _no_sleep(_: float) -> None:
    """The pause before a session is run again: other events come between all the same."""


@cache
def _parsed_once(uri: str) -> dict[str, object]:
    return parse_uri(uri, validate=False, warn=False)


def _parsed(uri: str, **_: object) -> dict[str, object]:
    return _parsed_once(uri)
