"""POST /api/data/ and POST /api/data/batch: read, judge, enqueue, answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import SubmissionRefused
from ..queue import Receipt, Sealed
from ..submission import (
    BATCH,
    SINGLE,
    SINGLE_BYTES,
    Admission,
    Envelope,
    Hearing,
    Sender,
    check_keys,
    classic_invalid,
    has_type,
    invalid_data,
    key_from_header,
    key_reused,
    position_key,
    read_envelope,
    read_item,
    read_json,
    too_large,
    write_json,
)
from .answers import JSON, Reply, accepted_body, refusal_body, reply
from .body import NDJSON, media_type, read_body
from .doorkeeper import access_of
from .gate import Environ, leave
from .intake import Intake
from .overload import Overload
from .request_id import request_id

TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")  # W3C's
BATCH_BYTES = 4 * 1024 * 1024
BATCH_ITEMS = 1000


@dataclass(frozen=True, slots=True)
class _Judged:
    """One item of a batch: admitted, or refused."""

    envelope: Envelope | None = None
    sealed: Sealed | None = None
    refused: SubmissionRefused | None = None


class Submissions:
    """What takes submissions in."""

    def __init__(self, admission: Admission, intake: Intake, overload: Overload) -> None:
        self._admission, self._intake, self._overload = admission, intake, overload

    def single(self, environ: Environ) -> Reply:
        """One submission, classic or typed."""
        self._overload.check()
        media_type(environ, (JSON,))
        key = key_from_header(environ.get("HTTP_IDEMPOTENCY_KEY"))
        envelope = read_envelope(_read_single(read_body(environ, SINGLE_BYTES)))
        sealed = self._intake.seal(self._hearing(environ).admit(envelope, key=key))
        leave(environ)
        receipt = self._intake.store(sealed)
        self._overload.took(1)
        return _answered(envelope, receipt)

    def batch(self, environ: Environ) -> Reply:
        """Up to 1,000 submissions, one result each, in order."""
        self._overload.check()
        kind = media_type(environ, (JSON, NDJSON))
        key = key_from_header(environ.get("HTTP_IDEMPOTENCY_KEY"))
        body = read_body(environ, BATCH_BYTES)
        items = list(_lines(body) if kind == NDJSON else _array(body))
        if len(items) > BATCH_ITEMS:
            raise invalid_data({"transactions": [f"At most {BATCH_ITEMS} at once."]})
        hearing = self._hearing(environ)
        judged = [self._judged(hearing, item, position_key(key, n) if key else None) for n, item in enumerate(items)]
        results = self._enqueued(judged)
        well = sum([result["status"] == "success" for result in results])
        data = {"results": results}
        return reply({"status": "success", "data": data, "message": f"{well} of {len(results)} accepted"})

    def _hearing(self, environ: Environ) -> Hearing:
        trace = environ.get("HTTP_TRACEPARENT")
        traceparent = trace if trace and TRACEPARENT.fullmatch(trace) else None
        access, id = access_of(environ), request_id(environ)
        return self._admission.hearing(Sender(access=access, request_id=id, traceparent=traceparent))

    def _judged(self, hearing: Hearing, item: Any, key: str | None) -> _Judged:
        try:
            if isinstance(item, SubmissionRefused):
                raise item
            envelope = read_item(item)
            return _Judged(envelope, self._intake.seal(hearing.admit(envelope, key=key)))
        except SubmissionRefused as error:
            return _Judged(refused=error)

    def _enqueued(self, judged: Sequence[_Judged]) -> list[dict[str, Any]]:
        receipts = iter(self._intake.store_all([one.sealed for one in judged if one.sealed]))
        self._overload.took(sum([one.sealed is not None for one in judged]))
        return [_result(one, receipts) for one in judged]


def _read_single(body: bytes) -> Any:
    try:
        return read_json(body)
    except SubmissionRefused:
        if has_type(body):
            raise
        raise classic_invalid() from None


def _array(body: bytes) -> Iterator[Any]:
    value = read_json(body, BATCH)
    if not isinstance(value, dict) or not isinstance(value.get("transactions"), list):
        raise invalid_data({"transactions": ["Must be an array of submissions."]})
    if len(value) > 1:
        raise invalid_data({name: ["Unknown field."] for name in value if name != "transactions"})
    measured = len(body) > SINGLE_BYTES
    return (_bounded(item, measured=measured) for item in value["transactions"])


def _bounded(item: Any, *, measured: bool) -> Any:
    """The item, or its refusal if it would be refused alone."""
    try:
        check_keys(item, SINGLE.keys)
    except SubmissionRefused as error:
        return error
    return too_large() if measured and len(write_json(item)) > SINGLE_BYTES else item


def _lines(body: bytes) -> Iterator[Any]:
    return (_line(line) for line in body.split(b"\n") if line.strip())


def _line(line: bytes) -> Any:
    try:
        return too_large() if len(line) > SINGLE_BYTES else _read_single(line)
    except SubmissionRefused as error:
        return error


def _answered(envelope: Envelope, receipt: Receipt) -> Reply:
    if receipt.key_reused:
        raise key_reused()
    transaction = receipt.transaction
    replayed = (("Idempotency-Replayed", "true"),) if receipt.replayed else ()
    body = accepted_body(envelope, transaction.type, transaction.id)
    return reply(body, ("Location", f"/api/data/{transaction.id}"), *replayed)


def _result(judged: _Judged, receipts: Iterator[Receipt]) -> dict[str, Any]:
    if judged.refused or judged.envelope is None:
        return refusal_body(judged.refused or classic_invalid())
    receipt = next(receipts)
    if receipt.key_reused:
        return refusal_body(key_reused())
    accepted = accepted_body(judged.envelope, receipt.transaction.type, receipt.transaction.id)
    return accepted | {"replayed": True} if receipt.replayed else accepted
