"""Many deposits or transfers in one session: one write per collection, each judged by itself."""

import itertools
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace

from bson import Decimal128
from pymongo import MongoClient
from pymongo.monitoring import CommandListener
from transqueue_ledger.audit import audit
from transqueue_ledger.deposits import Deposit, deposit
from transqueue_ledger.transfers import Transfer, transfer

from transqueue import Transaction

NUMBERS = itertools.count(1)


class Heard(CommandListener):
    """The write commands that were sent."""

    def __init__(self):
        self.writes = []

    def started(self, event):
        if event.command_name in ("insert", "update", "find", "findAndModify"):
            self.writes.append((event.command_name, event.command[event.command_name]))

    def succeeded(self, event): ...

    def failed(self, event): ...


def run_group(database, function, schema, *data):
    """One attempt of a group; its entries."""
    now = datetime.now(UTC)
    group = [
        Transaction(
            id=f"{next(NUMBERS):021}", type="", data=schema().load(one), created_at=now, due_at=now, max_attempts=8
        )
        for one in data
    ]
    with database.client.start_session() as session, session.bind(end_session=False):
        return session.with_transaction(lambda _session: function(group, SimpleNamespace(db=database, config={})))


def balances(database):
    return {row["_id"]: str(row["value"]) for row in database["Bank"].find()}


def test_a_group_is_posted_in_one_write_per_collection_however_often_a_user_is_in_it(database):
    heard = Heard()
    uri = "mongodb://{}:{}".format(*database.client.address)
    with MongoClient(uri, directConnection=True, event_listeners=[heard]) as client:
        deposits = [{"username": f"user{n % 3}", "value": 0.1} for n in range(90)]
        assert run_group(client[database.name], deposit, Deposit, *deposits) == [None] * 90
    assert heard.writes == [("find", "Bank"), ("update", "Bank"), ("insert", "Ledger")]
    assert {name: Decimal(value) for name, value in balances(database).items()} == dict.fromkeys(
        ("user0", "user1", "user2"), Decimal(3)
    )
    assert database["Ledger"].count_documents({}) == 90
    assert audit(database).differences == ()


def test_in_a_group_each_is_judged_on_what_the_ones_before_it_left(database):
    run_group(database, deposit, Deposit, {"username": "ann", "value": 5})
    moves = [("ann", "bob", 4), ("ann", "bob", 4), ("bob", "cat", 3), ("ann", "cat", 1)]
    entries = run_group(
        database, transfer, Transfer, *({"from": payer, "to": payee, "value": value} for payer, payee, value in moves)
    )
    assert [entry.reason if entry else None for entry in entries] == [None, "insufficient funds", None, None]
    assert {name: Decimal(value) for name, value in balances(database).items()} == {"ann": 0, "bob": 1, "cat": 4}
    assert audit(database).differences == ()


def test_in_a_group_one_that_would_not_be_exact_is_rejected_and_the_others_are_posted(database):
    database["Bank"].insert_one({"_id": "ann", "value": Decimal128("9999999999999999")})
    entries = run_group(
        database, deposit, Deposit, *({"username": "ann", "value": value} for value in (1, -2, 3, Decimal("1e-18")))
    )
    assert [entry is None for entry in entries] == [False, True, False, True]
    assert balances(database) == {"ann": "9999999999999997.000000000000000001"}
