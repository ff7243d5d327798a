"""The fake `context.db`: a mongomock database, whose changes are kept or discarded as those of a session are.

A session works on a copy, and committing it replaces what changed, so nothing is seen before and nothing is left after
a failure. mongomock does not know every operator (no `bulk_write` of updates, no `$inc` of Decimal128, no `$$NOW`), and
it is never run by two threads at once here.
"""

from __future__ import annotations

import copy
from importlib import import_module
from typing import Any

from .session_database import Session, SessionDatabase


def memory_database() -> Any:
    """A new, empty database of mongomock.

    Raises:
        ImportError: mongomock is not installed.
    """
    try:
        mongomock = import_module("mongomock")  # not a dependency of TransQueue, and slow: only where it is used
    except ImportError as error:
        raise ImportError("context.db in memory needs mongomock: pip install 'transqueue[testing]'") from error
    return mongomock.MongoClient(tz_aware=True)["transqueue"]


class MemoryEffects:
    """The database side of one session, as `queue.Effects` promises; `commit` makes its writes real."""

    def __init__(self, database: Any) -> None:
        self._database = database
        self._before = _contents(database)
        self._copy = _copy(database, self._before)
        self._session = Session()

    @property
    def db(self) -> Any:
        return SessionDatabase(self._copy, self._session)

    @property
    def writes(self) -> int:
        return self._session.writes

    @property
    def broken(self) -> bool:
        return self._session.broken

    def is_conflict(self, error: BaseException) -> bool:  # noqa: ARG002
        """As promised; sessions run one at a time here, so none conflicts."""
        return False

    def commit(self) -> None:
        """Put what changed in the copy into the real database."""
        for name, documents in _contents(self._copy).items():
            if documents != self._before.get(name, []):
                _fill(self._database[name], documents)


def _contents(database: Any) -> dict[str, list[Any]]:
    return {name: copy.deepcopy(list(database[name].find())) for name in database.list_collection_names()}


def _copy(database: Any, contents: dict[str, list[Any]]) -> Any:
    copied = memory_database()
    for name, documents in contents.items():
        for index in database[name].index_information().values():
            options = {key: value for key, value in index.items() if key not in ("key", "v", "ns")}
            copied[name].create_index(index["key"], **options)
        _fill(copied[name], documents)
    return copied


def _fill(collection: Any, documents: list[Any]) -> None:
    collection.delete_many({})
    if documents:
        collection.insert_many(documents)
