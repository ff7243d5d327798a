"""What tests claim about follow-ups, with what is there in the message when it is not so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..transaction import Transaction
from .kit import Kit


def assert_enqueued(kit: Kit, type: str, data: Mapping[str, Any] | None = None) -> Transaction:
    """The first transaction of a type whose data holds at least `data`.

    Raises:
        AssertionError: there is none.
    """
    found = _matching(kit, type, data)
    if not found:
        raise AssertionError(f"no {type!r} with {dict(data or {})} was enqueued; there is: {_told(kit)}")
    return found[0]


def refute_enqueued(kit: Kit, type: str, data: Mapping[str, Any] | None = None) -> None:
    """No transaction of a type has data that holds at least `data`.

    Raises:
        AssertionError: there is one.
    """
    if _matching(kit, type, data):
        raise AssertionError(f"a {type!r} with {dict(data or {})} was enqueued; there is: {_told(kit)}")


def _matching(kit: Kit, type: str, data: Mapping[str, Any] | None) -> list[Transaction]:
    wanted = dict(data or {})
    return [one for one in kit.transactions(type=type) if {**one.data, **wanted} == one.data]


def _told(kit: Kit) -> str:
    return "; ".join(f"{one.type} {one.data}" for one in kit.transactions()) or "nothing"
