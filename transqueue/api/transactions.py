"""The status resource of a transaction, the list of them, and an operator's cancel and retry."""

from __future__ import annotations

import re
from dataclasses import asdict, replace

from flask import Response, request
from marshmallow import Schema, fields, validate

from ..access import Scope
from ..admin.explain import explain, outlined
from ..errors import SubmissionRefused
from ..handlers import TYPE_LENGTH
from ..operator import Operator
from ..queue import TransactionQueue
from ..submission import Table
from ..transaction import ENDED, ID_LENGTH, VERSION, State, Transaction
from .answers import shown
from .doorkeeper import access_of
from .query import query
from .responses import success
from .waiters import Waiters

WAIT_SECONDS = 30
PAGE_LIMIT = 200

_ID = re.compile(rf"[0-9]{{{ID_LENGTH}}}")


class _Status(Schema):
    wait = fields.Float(
        load_default=0.0,
        validate=validate.Range(0, WAIT_SECONDS),
        metadata={"description": "Answer when it has ended, or after so many seconds."},
    )


class _List(Schema):
    state = fields.Enum(State, by_value=True, load_default=None)
    type = fields.String(load_default=None, validate=validate.Length(1, TYPE_LENGTH))
    after = fields.String(
        load_default=None,
        validate=validate.Regexp(r"[0-9]{1,21}\Z", error="Not a cursor."),
        metadata={"description": "The `next` of the page before."},
    )
    limit = fields.Integer(load_default=50, validate=validate.Range(1, PAGE_LIMIT))


STATUS_QUERY, LIST_QUERY = _Status(), _List()


class Transactions:
    """What shows transactions, and changes them on an operator's word."""

    def __init__(self, queue: TransactionQueue, table: Table, waiters: Waiters) -> None:
        self._queue, self._table, self._waiters = queue, table, waiters

    def status(self, transaction_id: str) -> Response:
        """One transaction; with `wait`, when it has ended or the time is over."""
        seconds = query(STATUS_QUERY)["wait"]
        transaction = self._found(transaction_id)
        if seconds and transaction.state not in ENDED:
            self._waiters.wait(transaction_id, seconds)
            transaction = self._found(transaction_id)
        return success(shown(transaction))

    def list(self) -> Response:
        """Those that match, newest first, and the cursor to go on from."""
        page = self._queue.page(**query(LIST_QUERY), submitter=access_of(request.environ).own_only)
        return success([shown(transaction) for transaction in page.transactions], next=page.next)

    def cancel(self, transaction_id: str) -> Response:
        """`queued` or `dead` to `cancelled`."""
        transaction = self._found(transaction_id)
        return self._changed(transaction, "cancelled", well=self._operator.cancel(transaction_id))

    def retry(self, transaction_id: str) -> Response:
        """`dead` to `queued`, with as many attempts more as its handler grants."""
        transaction = self._found(transaction_id)
        handler = self._table.resolve(transaction.type)
        more = handler.max_attempts if handler else transaction.max_attempts
        return self._changed(transaction, "retried", well=self._operator.retry(transaction_id, more_attempts=more))

    def explain(self, transaction_id: str) -> Response:
        """Why it is not running, or what it does, and what would change that."""
        self._found(transaction_id)
        circumstances = self._queue.circumstances(transaction_id)
        if circumstances is None:
            raise _not_found()
        one = circumstances.transaction
        found = explain(replace(circumstances, parked=self._table.parked(one.type) if one else None))
        if not access_of(request.environ).allows(
            Scope.READ
        ):  # of others' transactions, and of who operates, a submitter learns nothing
            found = outlined(found)
        return success(asdict(found))

    @property
    def _operator(self) -> Operator:
        return Operator(self._queue, access_of(request.environ).by)

    def _changed(self, before: Transaction, verb: str, *, well: bool) -> Response:
        transaction = self._found(before.id)
        if transaction.v > VERSION:
            raise SubmissionRefused(409, "newer_format", str((transaction.error or {}).get("message")))
        if not well:
            message = f"A transaction that is {transaction.state} cannot be {verb}."
            raise SubmissionRefused(409, "wrong_state", message)
        return success(shown(transaction), message=f"Transaction {before.id} {verb}")

    def _found(self, transaction_id: str) -> Transaction:
        transaction = self._queue.get(transaction_id) if _ID.fullmatch(transaction_id) else None
        if transaction is None or not access_of(request.environ).sees(transaction):
            raise _not_found()
        return transaction


def _not_found() -> SubmissionRefused:
    return SubmissionRefused(404, "not_found", "There is no such transaction.")
