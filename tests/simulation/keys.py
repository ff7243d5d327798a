"""Ids and unique keys: who else has, or is about to have, those of a new document."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .server_session import Document, Session
from .values import MISSING, at, path_of


def rival_of(store: Any, name: str, new: Document, session: Session | None) -> str | None:
    """Who has the id or a unique key of a new document: `taken`, `open` in another session, or nobody."""
    if store.locks.get((name, new["_id"])) not in (None, session):
        return "open"
    if new["_id"] in store.present(name, session):
        return "taken"
    for key in (("_id",), *store.unique.get(name, ())):
        wanted = _key_of(new, key)
        if wanted is not None and (rival := _rival_of_key(store, name, key, wanted, session)):
            return rival
    return None


def _rival_of_key(store: Any, name: str, key: tuple[str, ...], wanted: Any, session: Session | None) -> str | None:
    present = store.present(name, session)
    if key != ("_id",) and any(_key_of(one, key) == wanted for one in present.values()):
        return "taken"
    unseen = [one for id, one in store.latest.get(name, {}).items() if id not in present] if session else []
    writing = [after for (collection, _), after in _open_writes(store, session) if collection == name and after]
    return "open" if any(_key_of(one, key) == wanted for one in (*unseen, *writing)) else None


def _open_writes(store: Any, session: Session | None) -> Iterable[tuple[tuple[str, Any], Document | None]]:
    for other in store.sessions.values():
        if other is not session and other.state == "open":
            yield from other.wrote.items()


def _key_of(document: Document, key: tuple[str, ...]) -> tuple[Any, ...] | None:
    """The values of a unique key; none when the document is not in its index."""
    values = tuple(at(document, path_of(name)) for name in key)
    return None if any(value is MISSING for value in values) else values
