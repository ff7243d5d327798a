"""POST /api/types/<type>/pause and /resume: an operator's word on a type, or on a family that ends in `.*`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response, request
from marshmallow import Schema, fields, validate

from ..admin.pause import REASON_LENGTH, Pause, covers, pause_of
from ..errors import SubmissionRefused
from ..operator import Operator
from ..queue import TransactionQueue
from ..submission import Table
from .doorkeeper import access_of
from .query import query
from .responses import success


class _Pause(Schema):
    reason = fields.String(
        load_default="",
        validate=validate.Length(0, REASON_LENGTH),
        metadata={"description": "Why; shown to whoever asks why something waits."},
    )


PAUSE_QUERY = _Pause()


class Pauses:
    """Pauses and resumes types."""

    def __init__(self, queue: TransactionQueue, table: Table) -> None:
        self._queue, self._table = queue, table

    def pause(self, type: str) -> Response:
        """No more of it starts, on any host, from within a second on."""
        reason = query(PAUSE_QUERY)["reason"]
        if not self._is_known(type):
            raise SubmissionRefused(404, "not_found", f"No plugin claims the type {type!r}, and none is queued.")
        if not Operator(self._queue, access_of(request.environ).by).pause(type, reason):
            standing = self._queue.paused().get(type)
            raise _wrong_state(f"{type} was paused already{f' by {standing.by}' if standing else ''}.")
        return success(self._shown(type), message=f"{type} is paused; what is running ends, and the rest waits")

    def resume(self, type: str) -> Response:
        """It goes on."""
        if not Operator(self._queue, access_of(request.environ).by).resume(type):
            wider = pause_of(type, self._queue.paused())
            hint = f"; {wider[0]} is, and so all of its types: resume that" if wider else ""
            raise _wrong_state(f"{type} is not paused{hint}.")
        return success(self._shown(type), message=f"{type} is resumed")

    def _is_known(self, type: str) -> bool:
        claims = self._table.types()
        if type in claims or self._table.resolve(type) or self._table.parked(type):
            return True
        if type.endswith(".*"):
            prefix = type.removesuffix("*")
            return any(covers(type, claim) for claim in claims) or bool(self._queue.queued_types(prefix))
        return type in self._queue.queued_types(type)

    def _shown(self, type: str) -> dict[str, Any]:
        return {"type": type, "paused": shown_pause(type, self._queue.paused())}


def shown_pause(type: str, paused: Mapping[str, Pause]) -> dict[str, Any] | None:
    """The pause that holds for a type, as it is shown, with what it was said of; none: it is not paused."""
    found = pause_of(type, paused)
    return {"type": found[0], "by": found[1].by, "at": found[1].at, "reason": found[1].reason} if found else None


def _wrong_state(message: str) -> SubmissionRefused:
    return SubmissionRefused(409, "wrong_state", message)
