"""Indexes that never hold up a start: on a large collection those that are missing are built while the work goes on.

An index is known by its name. One that is there is left as it is, so a host with the version before or after this one
never argues about its keys. What nobody may do without (the one that makes keys unique) is waited for.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any

import pymongo
from pymongo import IndexModel
from pymongo.collection import Collection as Documents
from pymongo.errors import PyMongoError

SMALL = 10_000  # documents; with fewer an index is there in a moment


def ensure(collection: Documents[Any], models: Sequence[IndexModel], *, needed: Collection[str] = ()) -> None:
    """Make the indexes that are missing: those `needed`, and all of a small collection, before this returns."""
    present = set(collection.index_information())
    missing = [model for model in models if model.document["name"] not in present]
    if not missing:
        return
    is_small = collection.estimated_document_count() < SMALL
    now = [model for model in missing if is_small or model.document["name"] in needed]
    later = [model for model in missing if model not in now]
    if now:
        with pymongo.timeout(None):
            collection.create_indexes(now)
    if later:
        threading.Thread(target=_build, args=(collection, later), daemon=True, name="indexes").start()


def _build(collection: Documents[Any], models: Sequence[IndexModel]) -> None:
    """The server goes on with it when this process ends; whoever starts next looks again."""
    with suppress(PyMongoError), pymongo.timeout(None):
        collection.create_indexes(list(models))
