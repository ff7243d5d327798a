"""A collection as PyMongo has it, on the simulated store: the calls that the queue and the handlers make."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pymongo.errors import BulkWriteError, DuplicateKeyError
from pymongo.operations import DeleteMany, DeleteOne, InsertOne, UpdateMany, UpdateOne
from pymongo.results import BulkWriteResult, DeleteResult, InsertManyResult, InsertOneResult, UpdateResult

from .shape import Shape
from .store import Document, Steps
from .values import AWARE


class Collection:
    """A collection, with the calls that the queue and the handlers make."""

    codec_options = AWARE

    def __init__(self, database: Any, name: str) -> None:
        self.database, self.name = database, name
        client = database.client
        self._call, self._caller, self._store = client.call, client.name, client.network.store

    def with_options(self, **_: Any) -> Collection:
        return self

    def index_information(self) -> Document:
        return {}

    def estimated_document_count(self) -> int:
        return len(self._store.latest.get(self.name, {}))

    def create_indexes(self, models: Sequence[Any]) -> None:
        wanted = self._store.unique.setdefault(self.name, [])
        for model in models:
            key = tuple(model.document["key"])
            if model.document.get("unique") and key not in wanted:
                wanted.append(key)

    # Reading

    def find(
        self, query: Mapping[str, Any] | None = None, projection: Any = None, *, session: Any = None, hint: Any = None
    ) -> Cursor:
        return Cursor(self, query or {}, projection, session)

    def find_one(
        self, query: Any = None, projection: Any = None, *, session: Any = None, hint: Any = None, **_: Any
    ) -> Any:
        query = {"_id": query} if query is not None and not isinstance(query, Mapping) else query
        return next(iter(Cursor(self, query or {}, projection, session).limit(1)), None)

    def distinct(self, name: str, query: Mapping[str, Any] | None = None, **_: Any) -> list[Any]:
        rows = self.find(query or {}, {name: 1})
        values = [row.get(name) for row in rows]
        return sorted({value for value in values if value is not None})

    def count_documents(self, query: Mapping[str, Any], *, session: Any = None, **_: Any) -> int:
        return len(list(self.find(query, {"_id": 1}, session=session)))

    def aggregate(
        self, stages: Sequence[Mapping[str, Any]], *, session: Any = None, hint: Any = None
    ) -> Iterator[Document]:
        return iter(self._call("aggregate", session, lambda on: self._store.aggregate(self.name, stages, on)))

    # Writing

    def insert_one(self, document: Document, *, session: Any = None) -> InsertOneResult:
        errors = self._insert([document], session)
        if errors:
            raise errors[0][1]
        return InsertOneResult(document.get("_id"), acknowledged=True)

    def insert_many(
        self, documents: Sequence[Document], *, ordered: bool = True, session: Any = None
    ) -> InsertManyResult:
        errors = self._insert(list(documents), session)
        if errors:
            told = [{"index": place, "code": 11000, "errmsg": str(error)} for place, error in errors]
            raise BulkWriteError(
                {"writeErrors": told, "writeConcernErrors": [], "nInserted": len(documents) - len(told)}
            )
        return InsertManyResult([one.get("_id") for one in documents], acknowledged=True)

    def _insert(self, documents: Sequence[Document], session: Any) -> list[tuple[int, DuplicateKeyError]]:
        made = lambda on: self._store.insert(self._caller, self.name, documents, on)  # noqa: E731
        return self._call("insert", session, made, writes=True)

    def update_one(
        self, query: Any, update: Any, upsert: bool = False, *, session: Any = None, **_: Any
    ) -> UpdateResult:
        return self._updated(query, update, session, upsert=upsert, many=False)

    def update_many(
        self, query: Any, update: Any, upsert: bool = False, *, session: Any = None, **_: Any
    ) -> UpdateResult:
        return self._updated(query, update, session, upsert=upsert, many=True)

    def replace_one(self, query: Any, document: Any, upsert: bool = False, *, session: Any = None) -> UpdateResult:
        return self._updated(query, document, session, upsert=upsert, many=False)

    def _updated(self, query: Any, update: Any, session: Any, *, upsert: bool, many: bool) -> UpdateResult:
        made = lambda on: self._store.update(self._caller, self.name, query, update, on, upsert=upsert, many=many)  # noqa: E731
        matched, modified, upserted, _, _ = self._call("update", session, made, writes=True)
        n = matched + (upserted is not None)
        told = {"n": n, "nModified": modified} | ({"upserted": upserted} if upserted is not None else {})
        return UpdateResult(told, acknowledged=True)

    def find_one_and_update(
        self,
        query: Any,
        update: Any,
        projection: Any = None,
        sort: Any = (),
        upsert: bool = False,
        return_document: bool = False,
        *,
        session: Any = None,
        **_: Any,
    ) -> Document | None:
        made = lambda on: self._store.update(self._caller, self.name, query, update, on, upsert=upsert, sort=sort or ())  # noqa: E731
        _, _, _, before, after = self._call("findAndModify", session, made, writes=True)
        found = after if return_document else before
        return None if found is None else Shape(projection).of([found])[0]

    def delete_one(self, query: Any, *, session: Any = None) -> DeleteResult:
        return self._deleted(query, session, many=False)

    def delete_many(self, query: Any, *, session: Any = None) -> DeleteResult:
        return self._deleted(query, session, many=True)

    def _deleted(self, query: Any, session: Any, *, many: bool) -> DeleteResult:
        made = lambda on: self._store.delete(self._caller, self.name, query, on, many=many)  # noqa: E731
        return DeleteResult({"n": self._call("delete", session, made, writes=True)}, acknowledged=True)

    def bulk_write(self, writes: Sequence[Any], *, ordered: bool = True, session: Any = None) -> BulkWriteResult:
        """One command per kind of write, as the driver sends them."""
        counted = {"nMatched": 0, "nModified": 0, "nUpserted": 0, "nInserted": 0, "nRemoved": 0, "upserted": []}
        for kind, group in itertools.groupby(writes, key=_kind):
            for name, count in self._call(kind, session, self._bulk(list(group)), writes=True).items():
                counted[name] += count
        return BulkWriteResult(counted, acknowledged=True)

    def _bulk(self, writes: Sequence[Any]) -> Callable[[Any], Steps]:
        def made(on: Any) -> Steps:
            counted = dict.fromkeys(("nMatched", "nModified", "nUpserted", "nInserted", "nRemoved"), 0)
            for write in writes:
                yield from self._bulk_one(write, on, counted)
            return counted

        return made

    def _bulk_one(self, write: Any, on: Any, counted: dict[str, int]) -> Steps:
        if isinstance(write, InsertOne):
            errors = yield from self._store.insert(self._caller, self.name, [write._doc], on)
            if errors:
                raise errors[0][1]
            counted["nInserted"] += 1
        elif isinstance(write, DeleteOne | DeleteMany):
            many = isinstance(write, DeleteMany)
            counted["nRemoved"] += yield from self._store.delete(self._caller, self.name, write._filter, on, many=many)
        else:
            matched, modified, upserted, _, _ = yield from self._store.update(
                self._caller,
                self.name,
                write._filter,
                write._doc,
                on,
                upsert=bool(write._upsert),
                many=isinstance(write, UpdateMany),
            )
            counted["nMatched"] += matched
            counted["nModified"] += modified
            counted["nUpserted"] += upserted is not None


@dataclass(slots=True)
class Cursor:
    """What a search finds, asked for when it is first looked at."""

    collection: Collection
    query: Mapping[str, Any]
    projection: Any
    session: Any
    _sort: list[tuple[str, int]] = field(default_factory=list)
    _limit: int = 0
    _skip: int = 0
    _rows: Iterator[Document] | None = None

    def sort(self, by: Any, direction: int = 1) -> Cursor:
        keys = [(by, direction)] if isinstance(by, str) else by
        self._sort = [(key, 1) if isinstance(key, str) else tuple(key) for key in keys]
        return self

    def limit(self, limit: int) -> Cursor:
        self._limit = limit
        return self

    def skip(self, skip: int) -> Cursor:
        self._skip = skip
        return self

    def batch_size(self, _: int) -> Cursor:
        return self

    def hint(self, _: Any) -> Cursor:
        return self

    def __iter__(self) -> Iterator[Document]:
        return self

    def __next__(self) -> Document:
        if self._rows is None:
            shape = Shape(self.projection, self._sort, self._skip, self._limit)
            store, name, query = self.collection._store, self.collection.name, self.query
            self._rows = iter(
                self.collection._call("find", self.session, lambda on: store.find(name, query, shape, on))
            )
        return next(self._rows)

    def to_list(self) -> list[Document]:
        return list(self)


def _kind(write: Any) -> str:
    if isinstance(write, InsertOne):
        return "insert"
    return "update" if isinstance(write, UpdateOne | UpdateMany) else "delete"
