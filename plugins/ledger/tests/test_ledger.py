"""The ledger on a real MongoDB: postings are exact, rejected, or leave no trace, and the books are audited."""

import itertools
import json
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace

import pytest
from bson import Decimal128
from click.testing import CliRunner
from pymongo.errors import OperationFailure
from transqueue_ledger import audit as ledger_audit
from transqueue_ledger.audit import Difference, audit
from transqueue_ledger.commands import ledger
from transqueue_ledger.deposits import Deposit, deposit
from transqueue_ledger.transfers import Transfer, transfer

from transqueue import Reject, Transaction

NUMBERS = itertools.count(1)


def run(database, function, schema, data):
    """One attempt as a worker makes it: the data loaded, the session bound, the writes committed with it."""
    now = datetime.now(UTC)
    transaction = Transaction(
        id=f"{next(NUMBERS):021}",
        type=function.__name__,
        data=schema().load(data),
        created_at=now,
        due_at=now,
        max_attempts=8,
    )
    context = SimpleNamespace(db=database, config={})
    with database.client.start_session() as session, session.bind(end_session=False):
        [refusal] = session.with_transaction(lambda _session: function([transaction], context))
    if refusal:
        raise refusal
    return transaction.id


def put(database, username, value):
    return run(database, deposit, Deposit, {"username": username, "value": value})


def move(database, payer, payee, value):
    return run(database, transfer, Transfer, {"from": payer, "to": payee, "value": value})


def balances(database):
    return {row["_id"]: str(row["value"]) for row in database["Bank"].find()}


def test_deposits_add_up_exactly(database):
    for _ in range(10):
        put(database, "ann", 0.1)
    put(database, "ann", -0.25)
    assert balances(database) == {"ann": "0.75"}


def test_a_deposit_writes_one_entry_under_its_own_id(database):
    before = datetime.now(UTC)
    transaction_id = put(database, "ann", 150.0)
    [entry] = database["Ledger"].find()
    assert (entry["_id"], entry["username"], entry["value"]) == (f"{transaction_id}:0", "ann", Decimal128("150"))
    assert abs(entry["at"] - before) < timedelta(minutes=1)


def test_the_largest_and_the_smallest_amount_add_up_without_rounding(database):
    put(database, "ann", Decimal("999999999999999.999999999999999999"))
    put(database, "ann", Decimal("0.000000000000000001"))
    assert Decimal(balances(database)["ann"]) == 10**15


def test_a_balance_that_could_not_be_exact_any_more_is_rejected(database):
    database["Bank"].insert_one({"_id": "ann", "value": Decimal128("9999999999999999")})
    with pytest.raises(Reject, match="would reach"):
        put(database, "ann", 1)
    assert balances(database) == {"ann": "9999999999999999"}
    assert database["Ledger"].count_documents({}) == 0


def test_a_transfer_moves_money_to_an_account_that_it_opens(database):
    put(database, "ann", 10)
    transaction_id = move(database, "ann", "bob", 4.5)
    assert balances(database) == {"ann": "5.5", "bob": "4.5"}
    entries = {row["_id"]: str(row["value"]) for row in database["Ledger"].find({"_id": {"$regex": transaction_id}})}
    assert entries == {f"{transaction_id}:0": "-4.5", f"{transaction_id}:1": "4.5"}


def test_a_transfer_of_the_largest_amount_is_not_rounded(database):
    largest = Decimal(f"{'9' * 15}.{'9' * 18}")
    put(database, "ann", largest)
    move(database, "ann", "bob", largest)
    assert [Decimal(value) for value in balances(database).values()] == [0, largest]
    assert {row["value"].to_decimal().copy_abs() for row in database["Ledger"].find()} == {largest}
    assert audit(database).differences == ()


def test_a_transfer_may_empty_an_account(database):
    put(database, "ann", 10)
    move(database, "ann", "bob", 10)
    assert Decimal(balances(database)["ann"]) == 0


@pytest.mark.parametrize("payer", ["ann", "nobody"])
def test_a_transfer_without_funds_is_rejected_and_writes_nothing(database, payer):
    put(database, "ann", 10)
    with pytest.raises(Reject, match=r"^insufficient funds$"):
        move(database, payer, "bob", Decimal("10.000000000000000001"))
    assert balances(database) == {"ann": "10"}
    assert database["Ledger"].count_documents({}) == 1


def test_an_attempt_that_fails_after_the_handler_leaves_no_trace(database):
    def crash(transactions, context):
        deposit(transactions, context)
        raise RuntimeError("after the writes")

    with pytest.raises(RuntimeError):
        run(database, crash, Deposit, {"username": "ann", "value": 1})
    assert (balances(database), database["Ledger"].count_documents({})) == ({}, 0)


def test_transfers_at_the_same_time_never_overdraw(database):
    put(database, "ann", 5)
    rejected = []

    def spend(payee):
        try:
            move(database, "ann", payee, 1)
        except Reject as refusal:
            rejected.append(refusal.reason)

    threads = [threading.Thread(target=spend, args=(f"user{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert rejected == ["insufficient funds"] * 3
    assert Decimal(balances(database)["ann"]) == 0
    assert audit(database).differences == ()


class Refused(Exception):
    pass


def invoke(database, *arguments):
    def fail(message):
        raise Refused(message)

    return CliRunner().invoke(ledger, arguments, obj=SimpleNamespace(database=database, fail=fail))


def test_verify_says_yes_when_every_balance_is_the_sum_of_its_entries(database):
    put(database, "ann", 10)
    move(database, "ann", "bob", 4)
    answer = invoke(database, "verify")
    assert answer.exit_code == 0, answer.output
    assert answer.output == "2 accounts, 3 entries, total 10: every balance is the sum of its entries\n"


def test_verify_of_empty_books_says_yes(database):
    assert invoke(database, "verify").exit_code == 0


@pytest.mark.parametrize(
    ("spoil", "difference"),
    [
        (
            lambda db: db["Bank"].update_one({"_id": "ann"}, {"$inc": {"value": Decimal128("1E-18")}}),
            Difference("ann", Decimal("10.000000000000000001"), Decimal(10)),
        ),
        (lambda db: db["Bank"].delete_one({"_id": "ann"}), Difference("ann", None, Decimal(10))),
        (lambda db: db["Bank"].update_one({"_id": "ann"}, {"$set": {"value": 10.0}}), Difference("ann", None, 10)),
        (lambda db: db["Ledger"].delete_many({}), Difference("ann", Decimal(10), Decimal(0))),
        (
            lambda db: db["Ledger"].insert_one({"_id": "x:0", "username": "eve", "value": Decimal128("1")}),
            Difference("eve", None, Decimal(1)),
        ),
    ],
)
def test_verify_finds_what_does_not_add_up(database, spoil, difference):
    put(database, "ann", 10)
    spoil(database)
    assert audit(database).differences == (difference,)
    answer = invoke(database, "verify", "--json")
    assert answer.exit_code == 1
    found = json.loads(answer.output)
    assert (found["ok"], found["differing"], found["differences"][0]["username"]) == (False, 1, difference.username)


def test_verify_shows_the_first_twenty_and_counts_the_rest(database):
    database["Bank"].insert_many([{"_id": f"user{n:02}", "value": Decimal128("1")} for n in range(25)])
    answer = invoke(database, "verify")
    assert answer.exit_code == 1
    lines = answer.output.splitlines()
    assert lines[0] == "25 accounts, 0 entries, total 25: 25 accounts differ"
    assert (lines[1], lines[20], lines[21]) == (
        "  user00: Bank 1, Ledger 0",
        "  user19: Bank 1, Ledger 0",
        "  and 5 more",
    )


def test_verify_reads_one_moment_while_deposits_go_on(database):
    put(database, "ann", 1)
    stop = threading.Event()

    def keep_depositing():
        while not stop.is_set():
            put(database, "ann", 0.1)

    thread = threading.Thread(target=keep_depositing)
    thread.start()
    try:
        for _ in range(20):
            assert audit(database).differences == ()
    finally:
        stop.set()
        thread.join(60)


def past_kept(database):
    name = "minSnapshotHistoryWindowInSeconds"
    return database.client.admin.command({"getParameter": 1, name: 1})[name]


def test_verify_has_the_server_keep_its_past_only_meanwhile(database, monkeypatch):
    kept = []
    sums = ledger_audit._sums
    monkeypatch.setattr(ledger_audit, "_sums", lambda *given: kept.append(past_kept(database)) or sums(*given))
    put(database, "ann", 1)
    before = past_kept(database)
    assert before < 300
    assert audit(database).differences == ()
    assert (kept, past_kept(database)) == ([3600], before)


def test_verify_that_the_server_forgets_too_soon_says_what_to_do(database, monkeypatch):
    def forgets(*_):
        raise OperationFailure("Read timestamp is older than the oldest available timestamp.", 239)

    monkeypatch.setattr(ledger_audit, "_sums", forgets)
    answer = invoke(database, "verify")
    assert isinstance(answer.exception, Refused)
    assert "minSnapshotHistoryWindowInSeconds" in str(answer.exception)


def test_balance_prints_digits_without_an_exponent(database):
    put(database, "ann", Decimal("0.000000000000000001"))
    assert invoke(database, "balance", "ann").output == "0.000000000000000001\n"


def test_balance_of_an_unknown_account_fails(database):
    assert isinstance(invoke(database, "balance", "nobody").exception, Refused)
