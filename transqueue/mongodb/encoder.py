"""New transactions as BSON. What those of one request have alike is encoded once: it is most of each."""

from __future__ import annotations

import struct
from typing import Any

import bson
from bson.codec_options import CodecOptions

from ..transaction import Transaction
from .documents import Alike, alike, common, encode, own

_LENGTH = struct.Struct("<i")
_ENDS = 5  # bytes: the length before the fields, and a zero after them


class Encoder:
    """Encodes transactions. Safe for use by many threads."""

    def __init__(self, options: CodecOptions[Any]) -> None:
        self._options = options
        self._last: tuple[Alike | None, bytes | None] = (
            None,
            None,
        )  # what the last one had in common with others, and as BSON

    def __call__(self, transaction: Transaction) -> bytes:
        """The document of a new transaction.

        Raises:
            BSONError, OverflowError, TypeError, ValueError: it cannot be stored.
        """
        has = alike(transaction)
        last, fields = self._last
        if last != has:
            self._last = (has, None)
            return bson.encode(encode(transaction), codec_options=self._options)
        if fields is None:
            fields = self._fields(common(has))
            self._last = (has, fields)
        mine = self._fields(own(transaction))
        return _LENGTH.pack(len(mine) + len(fields) + _ENDS) + mine + fields + b"\0"

    def _fields(self, document: dict[str, Any]) -> bytes:
        return bson.encode(document, codec_options=self._options)[4:-1]
