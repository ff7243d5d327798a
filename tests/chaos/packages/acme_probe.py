"""A throw-away plugin: handlers that leave traces, so that a run can be judged afterwards.

`probe.note` has effects outside MongoDB, `probe.step` appends to the list of its ordering key. Both hold a lock while
they run, which the kernel releases when the process ends: a run that meets it held overlaps another one.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import chaos_windows as windows
from marshmallow import Schema, fields

from transqueue import Context, Transaction, handler

LINGER_SECONDS = 0.04
OFFSETS = 2**62  # of locks in the file that holds them


class Note(Schema):
    """Anything."""

    number = fields.Integer(required=True)


class Step(Schema):
    """The next step of one client on one key."""

    key = fields.String(required=True)
    client = fields.Integer(required=True)
    number = fields.Integer(required=True)


@handler("probe.note", schema=Note, timeout_seconds=20, backoff_seconds=(0.2, 3))
def note(transaction: Transaction, context: Context) -> None:
    """Write one line to a file."""
    with _alone(transaction):
        windows.enter(windows.HANDLER)
        windows.linger(LINGER_SECONDS, probability=0.5)
        _append("effects", transaction.id)
        windows.linger(LINGER_SECONDS)


@handler(
    "probe.step", schema=Step, transactional=True, ordering_key="key", timeout_seconds=20, backoff_seconds=(0.2, 3)
)
def step(transaction: Transaction, context: Context) -> None:
    """Append to the list of the key."""
    data = transaction.data
    with _alone(transaction):
        windows.enter(windows.HANDLER)
        windows.linger(LINGER_SECONDS)
        entry = {"id": transaction.id, "client": data["client"], "number": data["number"]}
        context.db["Steps"].update_one({"_id": data["key"]}, {"$push": {"entries": entry}}, upsert=True)
        windows.enter(windows.BEFORE_FENCE)
        windows.linger(LINGER_SECONDS)


@contextmanager
def _alone(transaction: Transaction) -> Iterator[None]:
    """Note it when another process is running the same transaction now."""
    offset = int(transaction.id) % OFFSETS
    try:
        fcntl.lockf(_locks(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, offset)
    except OSError:
        _append("overlaps", transaction.id)
        yield
        return
    try:
        yield
    finally:
        fcntl.lockf(_locks(), fcntl.LOCK_UN, 1, offset)


@cache
def _locks() -> int:
    """Opened once: closing any descriptor of this file would release all locks of the process."""
    return os.open(_folder() / "locks", os.O_RDWR | os.O_CREAT)


def _append(file: str, line: str) -> None:
    descriptor = os.open(_folder() / file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        os.write(descriptor, f"{line}\n".encode())
    finally:
        os.close(descriptor)


def _folder() -> Path:
    return Path(os.environ["CHAOS_FOLDER"])
