"""What the ledger takes as an amount, an account and a transfer, and what it refuses."""

from decimal import Decimal

import pytest
from marshmallow import ValidationError
from transqueue_ledger.deposits import Deposit, deposit
from transqueue_ledger.money import written
from transqueue_ledger.transfers import Transfer, transfer

from transqueue.handlers import marks
from transqueue.testing import PluginContract


class TestContract(PluginContract):
    plugin = "ledger"
    outside = ("deposit", "transfer")  # they take a real MongoDB, and have one in the other files


@pytest.mark.parametrize(
    ("sent", "loaded"),
    [
        (150.0, "150"),
        (150, "150"),
        (0.1, "0.1"),
        (Decimal("0.123456789012345678"), "0.123456789012345678"),
        (Decimal("999999999999999.999999999999999999"), "999999999999999.999999999999999999"),
        (Decimal("1.000000000000000000000000000000000000000000000"), "1"),
        (Decimal("1E+2"), "100"),
        (1e-18, "0.000000000000000001"),
        (-5, "-5"),
        (0, "0"),
        (-0.0, "0"),
    ],
)
def test_a_value_is_loaded_exactly_as_it_was_sent(sent, loaded):
    assert written(Deposit().load({"username": "ann", "value": sent})["value"]) == loaded


@pytest.mark.parametrize(
    "value",
    [
        *(True, "5", None, [], {}, float("nan"), float("inf"), 10**15, -(10**15), 1e300),
        *(Decimal(text) for text in ("NaN", "sNaN", "1E-19", "1E-999999", "1E+999999", f"{'9' * 15}.{'9' * 19}")),
    ],
)
def test_a_value_that_is_no_exact_number_is_refused(value):
    with pytest.raises(ValidationError) as refusal:
        Deposit().load({"username": "ann", "value": value})
    assert list(refusal.value.messages) == ["value"]


@pytest.mark.parametrize("username", ["", 5, None, "x" * 257])
def test_a_username_that_is_no_short_text_is_refused(username):
    with pytest.raises(ValidationError):
        Deposit().load({"username": username, "value": 1})


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        ({"from": "ann", "to": "ann", "value": 1}, "to"),
        ({"from": "ann", "to": "bob", "value": 0}, "value"),
        ({"from": "ann", "to": "bob", "value": -1}, "value"),
        ({"to": "bob", "value": 1}, "from"),
        ({"from": "ann", "to": "bob", "value": 1, "note": "x"}, "note"),
    ],
)
def test_a_transfer_that_makes_no_sense_is_refused(data, wrong):
    with pytest.raises(ValidationError) as refusal:
        Transfer().load(data)
    assert list(refusal.value.messages) == [wrong]


def test_deposits_of_one_account_keep_their_order_and_transfers_have_none():
    (handler,), (other,) = marks(deposit), marks(transfer)
    assert (handler.ordering_key, other.ordering_key) == ("username", None)
