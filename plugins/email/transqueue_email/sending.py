"""The type `email.send`: one message, handed to the server."""

from __future__ import annotations

import smtplib
from collections.abc import Iterable, Mapping
from typing import Any

from marshmallow import Schema

from transqueue import Check, Context, Reject, Transaction, handler, hookimpl

from .message import Mail, again, composed, recipients
from .options import Config
from .server import hand_over, is_final, server, words_of


@hookimpl
def transqueue_config_schema() -> type[Schema]:
    """What `config:` may hold."""
    return Config


@hookimpl
def transqueue_health_checks(config: Mapping[str, Any]) -> Iterable[Check]:
    """Whether the server takes us."""

    def look() -> None:
        with server(config) as opened:
            opened.noop()

    return [Check("SMTP server", look, "Correct plugins.email.config: host, port, security, username, password.")]


@handler("email.send", schema=Mail, max_attempts=12, backoff_seconds=(10, 1800), timeout_seconds=180)
def send(transaction: Transaction, context: Context) -> dict[str, Any]:
    """Send a message by mail.

    A permanent answer of the server rejects it; anything else is tried again. Where it takes some recipients and
    refuses others, the result tells, and those refused for the moment get the same message later, by a follow-up.
    """
    mail, config = transaction.data, context.config
    sender, everybody = _sender(mail, config), recipients(mail)
    message_id = mail["message_id"] or _message_id(transaction, config)
    message = composed(mail, sender=sender, message_id=message_id, at=transaction.created_at)
    with server(config) as opened:
        try:
            refused = hand_over(opened, message, sender, everybody)
        except smtplib.SMTPException as error:
            if is_final(error):
                raise Reject(words_of(error)) from error
            raise
    later = [one.address for one in refused if not one.is_final]
    if later:
        context.enqueue("email.send", again(mail, to=later, sender=sender, message_id=message_id), delay_seconds=60)
    return {
        "message_id": message_id,
        "accepted": [address for address in everybody if address not in {one.address for one in refused}],
        "refused": {one.address: one.words for one in refused if one.is_final},
        "later": later,
    }


def _message_id(transaction: Transaction, config: Mapping[str, Any]) -> str:
    return f"<{transaction.effect_key('message').replace(':', '.')}@{config['domain']}>"


def _sender(mail: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    asked = mail["sender"]
    if asked and asked != config["sender"] and asked not in config["senders"]:
        raise Reject(f"{asked} may not be used as `from`: list it under plugins.email.config.senders")
    sender = asked or config["sender"]
    if not sender:
        raise RuntimeError("no `from` was given, and plugins.email.config.sender is not set")
    return str(sender)
