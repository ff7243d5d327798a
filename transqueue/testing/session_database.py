"""`context.db` in memory, as unforgiving as a MongoDB session: what a session cannot do is refused, and what fails in
it ends it, caught or not. What mongomock gets wrong in silence is refused too, with the way out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import Any

import bson
from pymongo.errors import DocumentTooLarge, OperationFailure

WRITES = frozenset(
    {
        "bulk_write",
        "delete_many",
        "delete_one",
        "find_one_and_delete",
        "find_one_and_replace",
        "find_one_and_update",
        "insert_many",
        "insert_one",
        "replace_one",
        "update_many",
        "update_one",
    }
)
READS = frozenset({"aggregate", "count_documents", "distinct", "find", "find_one"})
NOT_IN_A_SESSION = frozenset(
    {
        "command",
        "create_collection",
        "create_index",
        "create_indexes",
        "drop",
        "drop_collection",
        "drop_index",
        "drop_indexes",
        "estimated_document_count",
        "index_information",
        "list_collection_names",
        "list_collections",
        "list_indexes",
        "rename",
        "watch",
    }
)
DOCUMENT_BYTES = 16 * 1024 * 1024
UNSUPPORTED, ABORTED = 263, 251  # MongoDB's OperationNotSupportedInTransaction and NoSuchTransaction
CURE = "the database in memory cannot do this: take the fixture tq_mongod, which has a real MongoDB"


class Session:
    """What happened in one session so far."""

    def __init__(self) -> None:
        self.writes, self.broken, self._begun = 0, False, False

    def run(self, name: str, operation: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """One operation, as a session would have it.

        Raises:
            OperationFailure: a session cannot do it, or is over; or the operation failed, and so the session is over.
            bson.errors.InvalidDocument: what is to be written is not BSON.
            NotImplementedError: it takes a real MongoDB.
        """
        if self.broken:
            raise OperationFailure("the session was ended by an error before: its writes are discarded", ABORTED)
        if name in NOT_IN_A_SESSION:
            self.broken = True
            raise OperationFailure(f"{name} cannot be run in a session", UNSUPPORTED)
        if name in WRITES:
            self._refuse_what_is_not_bson(name, (*arguments, *options.values()))
        self._begun = True
        try:
            result = operation(*arguments, **options)
        except OperationFailure:
            self.broken = True
            raise
        except (NotImplementedError, TypeError) as error:
            if isinstance(error, TypeError) and name != "bulk_write":  # mongomock#912
                raise
            raise NotImplementedError(f"{name}: {error}; {CURE}") from error
        self.writes += name in WRITES and _changed(result, options)
        return result

    def _refuse_what_is_not_bson(self, name: str, values: tuple[Any, ...]) -> None:
        """A first command that PyMongo cannot send ends the session; a later one does not."""
        try:
            for value in values:
                _refuse_unless_bson(name, value)
        except BaseException:
            self.broken = not self._begun
            raise


class SessionDatabase:
    """A database of mongomock inside a session."""

    def __init__(self, database: Any, session: Session) -> None:
        self._database, self._session = database, session

    def __getitem__(self, name: str) -> SessionCollection:
        return SessionCollection(self._database[name], self._session)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._database, name)
        if name in NOT_IN_A_SESSION:
            return partial(self._session.run, name, found)
        return self[name] if _is_collection(found) else found

    def get_collection(self, name: str, **options: Any) -> SessionCollection:
        """As PyMongo's."""
        return SessionCollection(self._database.get_collection(name, **options), self._session)


class SessionCollection:
    """A collection of mongomock inside a session."""

    def __init__(self, collection: Any, session: Session) -> None:
        self._collection, self._session = collection, session

    def __getitem__(self, name: str) -> SessionCollection:
        return SessionCollection(self._collection[name], self._session)

    def __getattr__(self, name: str) -> Any:
        if name in NOT_IN_A_SESSION:
            return partial(self._session.run, name, self._collection)
        found = getattr(self._collection, name)
        if name in WRITES or name in READS:
            return partial(self._session.run, name, found)
        return SessionCollection(found, self._session) if _is_collection(found) else found


def _refuse_unless_bson(name: str, value: Any) -> None:
    if isinstance(value, list) and "update" in name:
        raise NotImplementedError(f"{name} by a pipeline: {CURE}")
    for document in value if isinstance(value, list) else [value]:
        if isinstance(document, Mapping) and len(bson.encode(dict(document))) > DOCUMENT_BYTES:
            raise DocumentTooLarge(f"{name}: a document has at most {DOCUMENT_BYTES} bytes")


def _changed(result: Any, options: Mapping[str, Any]) -> bool:
    """Whether a write wrote; one that matched nothing has not."""
    counts = ("matched_count", "deleted_count", "inserted_count", "upserted_count")
    counted = [getattr(result, name) for name in counts if hasattr(result, name)]
    if not counted:
        return result is not None or bool(options.get("upsert"))
    return any(counted) or getattr(result, "upserted_id", None) is not None


def _is_collection(found: Any) -> bool:
    return isinstance(found, import_module("mongomock").Collection)
