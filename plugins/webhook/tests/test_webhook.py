"""From a submission to a verified message at a real HTTP server, and everything that may go wrong between."""

from __future__ import annotations

import base64
import json
import time
from email.utils import formatdate
from types import MappingProxyType

import pytest
import transqueue_webhook
from click.testing import CliRunner
from standardwebhooks import Webhook, WebhookVerificationError
from transqueue_webhook import addresses
from transqueue_webhook.handlers import ATTEMPTS
from transqueue_webhook.hooks import Config
from transqueue_webhook.signing import seal

from transqueue import Reject, handler
from transqueue.errors import SubmissionRefused
from transqueue.testing import Kit, PluginContract

SECRET, OLD = ("whsec_" + base64.b64encode(bytes([letter]) * 32).decode() for letter in b"so")
DAY = 24 * 3600


class TestContract(PluginContract):
    plugin = "webhook"
    config = MappingProxyType({"secrets": [SECRET]})
    outside = ("webhook.deliver", "webhook.disable", "webhook.outcome")  # what this plugin alone submits


@handler("pay", max_attempts=1)
def pay(transaction, context):
    """Pay, or do not."""
    if transaction.data.get("how") == "reject":
        raise Reject("insufficient funds")
    if transaction.data.get("how") == "die":
        raise ValueError("broken")
    return {"paid": 5.5}


@handler("invoice.paid.late")
def late(transaction, context):
    """Of a family."""


def make_tq(**config):
    given = {"secrets": [SECRET], "allow_private": True, **config}
    plugins = {"webhook": {"config": given}, "shop": {}}
    return Kit({"plugins": plugins}, provides={"shop": [pay, late]})


@pytest.fixture
def tq():
    with make_tq() as kit:
        yield kit


def submit(kit, receiver, type="pay", **data):
    return kit.submit(type, data, webhook={"url": receiver.url})


def messages(receiver, secret=SECRET):
    """What was received, each verified by the library of Standard Webhooks."""
    return [Webhook(secret).verify(body, headers) for headers, body in receiver.requests]


@pytest.mark.parametrize(
    ("how", "state"), [(None, "done"), ("reject", "rejected"), ("die", "dead"), ("cancel", "cancelled")]
)
def test_each_end_is_told_to_who_asked_and_is_verified(tq, receiver, how, state):
    id = submit(tq, receiver, how=how)
    if how == "cancel":
        tq.queue.cancel(id)
    tq.run()
    (message,) = messages(receiver)
    assert message["type"] == f"transaction.{state}"
    told = message["data"]
    assert (told["transaction_id"], told["type"], told["state"]) == (id, "pay", state)
    assert told["result"] == ({"paid": 5.5} if state == "done" else None)
    assert (told["error"] or {}).get("type") == {"rejected": "Reject", "dead": "ValueError"}.get(state)
    assert message["timestamp"] == told["finished_at"]
    headers, _ = receiver.requests[0]
    assert headers["Content-Type"] == "application/json"
    assert "secrets" not in json.dumps(message)


def test_a_message_that_was_changed_is_not_verified(tq, receiver):
    submit(tq, receiver)
    tq.run()
    headers, body = receiver.requests[0]
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body.replace("5.5", "9.9"), headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(OLD).verify(body, headers)


def test_nobody_is_told_unless_it_was_asked_for(tq, receiver):
    tq.submit("pay", {})
    tq.run()
    assert receiver.requests == []
    assert {one.type for one in tq.transactions()} == {"pay"}


def test_a_type_or_a_family_is_told_by_configuration_and_an_option_goes_before_it(receiver, make_receiver):
    other = make_receiver()
    with make_tq(types={"pay": receiver.url, "invoice.*": receiver.url}) as kit:
        kit.submit("pay", {})
        kit.submit("invoice.paid.late", {})
        submit(kit, other)
        kit.run()
    assert sorted(one["data"]["type"] for one in messages(receiver)) == ["invoice.paid.late", "pay"]
    assert len(messages(other)) == 1
    other.close()


def test_a_delivery_that_fails_is_sent_again_as_the_same_message(tq, receiver):
    receiver.answers = [(500, {}), (302, {"Location": receiver.url}), (404, {})]
    submit(tq, receiver)
    tq.run()
    for _ in range(3):
        assert tq.advance() > 0
        tq.run()
    assert len(messages(receiver)) == 4
    assert len({headers["webhook-id"] for headers, _ in receiver.requests}) == 1
    (delivery,) = tq.transactions(type="webhook.deliver")
    assert (delivery.state, delivery.attempts, delivery.result) == ("done", 4, {"status": 200})
    assert delivery.history[0]["error"]["message"] == "the receiver answered 500"


def test_deliveries_go_on_for_days(tq, receiver):
    receiver.answers = [(500, {})] * ATTEMPTS
    submit(tq, receiver)
    tq.run()
    waited = 0.0
    while tq.transactions(type="webhook.deliver", state="queued"):
        waited += tq.advance()
        tq.run()
    (dead,) = tq.transactions(type="webhook.deliver")
    assert (dead.state, dead.attempts) == ("dead", ATTEMPTS)
    assert 1.2 * DAY < waited < 5 * DAY


@pytest.mark.parametrize("status", [429, 503])
def test_a_receiver_that_asks_to_wait_is_left_alone_and_no_attempt_is_charged(tq, receiver, status):
    receiver.answers = [(status, {"Retry-After": "120"}), (status, {"Retry-After": formatdate(time.time() + 600)})]
    submit(tq, receiver)
    tq.run()
    assert 119 < tq.advance() <= 120
    tq.run()
    assert 590 < tq.advance() <= 600
    tq.run()
    (delivery,) = tq.transactions(type="webhook.deliver")
    assert (delivery.state, delivery.attempts) == ("done", 1)


class Command:
    """What a plugin's command gets."""

    def __init__(self, database):
        self.database = database

    def fail(self, message):
        raise SystemExit(message)


def test_410_disables_the_url_until_it_is_enabled_again(tq, receiver):
    receiver.answers = [(410, {})]
    submit(tq, receiver)
    tq.run()
    (delivery,) = tq.transactions(type="webhook.deliver")
    assert delivery.result == {"status": 410, "disabled": True}
    submit(tq, receiver)
    tq.run()
    assert len(receiver.requests) == 1
    refused = tq.transactions(type="webhook.outcome")[-1]
    assert refused.state == "rejected"
    assert f"transqueue webhook enable {receiver.url}" in refused.error["message"]
    run, command = CliRunner().invoke, Command(tq.queue.database)
    group = transqueue_webhook.transqueue_cli()
    assert receiver.url in run(group, ["disabled"], obj=command).output
    assert run(group, ["enable", receiver.url], obj=command).exit_code == 0
    assert run(group, ["enable", receiver.url], obj=command).exit_code == 1
    submit(tq, receiver)
    tq.run()
    assert len(messages(receiver)) == 2


def test_while_secrets_are_rotated_both_verify_and_what_the_old_one_sealed_is_still_sent(receiver):
    with make_tq(secrets=[OLD]) as kit:
        submit(kit, receiver)
        receiver.answers = [(500, {})]
        kit.run()
        waiting = kit.transactions(type="webhook.deliver")[0].data
    with make_tq(secrets=[SECRET, OLD]) as kit:
        assert kit.perform("webhook.deliver", waiting).state == "done"
        submit(kit, receiver)
        kit.run()
    messages(Sent(receiver.requests[1:]), SECRET)
    messages(Sent(receiver.requests), OLD)
    assert len(receiver.requests) == 3


class Sent:
    def __init__(self, requests):
        self.requests = requests


# Nobody but this plugin makes what is signed and sent


@pytest.mark.parametrize("type", ["webhook.deliver", "webhook.disable"])
def test_what_a_submitter_makes_up_is_neither_signed_nor_sent_nor_believed(tq, receiver, type):
    forged = {"url": receiver.url, "seal": seal([OLD], "deliver", receiver.url, "{}")}
    id = tq.submit(type, forged | ({"body": "{}"} if type == "webhook.deliver" else {}))
    tq.run()
    assert tq.get(id).state == "rejected"
    assert receiver.requests == []
    assert tq.queue.database["WebhookEndpoints"].count_documents({}) == 0


def test_only_an_end_is_told(tq, receiver):
    id = tq.submit("webhook.outcome", {"url": receiver.url})
    tq.run()
    assert tq.get(id).error["message"] == "only the end of a transaction is told"
    assert receiver.requests == []


# What is refused at the door and in the configuration


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"url": "http://shop.example/"}, "options.webhook.url"),
        ({"url": "ftp://shop.example/"}, "options.webhook.url"),
        ({"url": "https://ann:secret@shop.example/"}, "options.webhook.url"),
        ({"url": "https:///hook"}, "options.webhook.url"),
        ({"url": "https://a b/"}, "options.webhook.url"),
        ({"url": 5}, "options.webhook.url"),
        ({}, "options.webhook.url"),
        ({"url": "https://shop.example/", "secret": "x"}, "options.webhook.secret"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(options, path):
    with make_tq(allow_private=False) as kit:
        with pytest.raises(SubmissionRefused) as refusal:
            kit.submit("pay", {}, webhook=options)
        assert list(refusal.value.errors) == [path]


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({}, "secrets"),
        ({"secrets": []}, "secrets"),
        ({"secrets": ["whsec_short"]}, "secrets"),
        ({"secrets": ["no prefix"]}, "secrets"),
        ({"secrets": [SECRET], "types": {"pay": "http://shop.example"}}, "types"),
        ({"secrets": [SECRET], "timeout_seconds": 0}, "timeout_seconds"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(config, path):
    assert list(Config().validate(config)) == [path]


def test_the_health_checks_look_where_each_configured_url_leads():
    config = Config().load({"secrets": [SECRET], "types": {"pay": "https://127.0.0.1/hook"}})
    (check,) = transqueue_webhook.transqueue_health_checks(config)
    assert check.name == "pay to 127.0.0.1"
    with pytest.raises(addresses.AddressRefused):
        check.run()
