"""What the real code has no argument for, replaced while a simulation runs.

PyMongo's deadlines and its time-outs of retried sessions go by simulated time: its own code for them then is simulated
too. What costs time and decides nothing (reading one URI again and again,
masking signals around a spawn, sharing a mark between processes, looking for the memory of one that has none,
spelling out where a handler raised) is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from types import SimpleNamespace
from unittest.mock import patch

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
    with (
        patch.object(_csot, "time", SimpleNamespace(monotonic=now)),
        patch.object(client_session, "time", SimpleNamespace(monotonic=now, sleep=_no_sleep)),
        patch.object(client_session, "random", SimpleNamespace(random=lambda: 0.5)),
        patch.object(connection, "parse_uri", _parsed),
        patch.object(child, "interrupts_held", nullcontext),
        patch.object(child, "resident_bytes", lambda pid: 0),
        patch.object(Marker, "_memory", lambda _: Fields()),
        patch.object(attempt, "traceback", SimpleNamespace(format_exception=lambda _: ["somewhere"])),
    ):
        yield


def _no_sleep(_: float) -> None:
    """The pause before a session is run again: other events come between all the same."""


@cache
def _parsed_once(uri: str) -> dict[str, object]:
    return parse_uri(uri, validate=False, warn=False)


def _parsed(uri: str, **_: object) -> dict[str, object]:
    return _parsed_once(uri)
