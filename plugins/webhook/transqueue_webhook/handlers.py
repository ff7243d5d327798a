"""From an end to a delivery: `webhook.outcome` is enqueued by the end itself, looks whether the URL is disabled, and
enqueues `webhook.deliver`; a receiver that answers 410 is disabled by `webhook.disable`.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from time import time
from typing import Any

from marshmallow import Schema, fields

from transqueue import Context, Reject, RetryLater, Transaction, handler

from .addresses import AddressRefused
from .sending import Answer, post
from .signing import is_sealed, seal, signatures

ENDPOINTS = "WebhookEndpoints"  # `_id` the URL, `disabled_at`
GONE = 410
ATTEMPTS, BACKOFF_SECONDS = 20, (5, 12 * 3600)  # two to four days
EXPIRES_SECONDS = 5 * 24 * 3600.0
TIMEOUT_SECONDS = 60.0  # for resolving, connecting and the answer, whatever the configured limit


class DeliveryFailed(Exception):
    """The receiver did not take it."""


class Outcome(Schema):
    """Whom to tell."""

    url = fields.String(required=True)


class Delivery(Outcome):
    """What to send."""

    body = fields.String(required=True)
    seal = fields.String(required=True)


class Gone(Outcome):
    """Whom to tell no more."""

    seal = fields.String(required=True)


@handler("webhook.outcome", schema=Outcome, transactional=True)
def outcome(transaction: Transaction, context: Context) -> dict[str, str]:
    """Tell how a transaction ended; enqueued by its end."""
    url, ended = transaction.data["url"], transaction.origin
    if ended is None:
        raise Reject("only the end of a transaction is told")
    disabled = context.db[ENDPOINTS].find_one({"_id": url})
    if disabled:
        since = f"{disabled['disabled_at']:%Y-%m-%d %H:%M}"
        raise Reject(f"{url} is disabled since {since}, when it answered 410: transqueue webhook enable {url}")
    body = json.dumps(
        {"type": f"transaction.{ended['state']}", "timestamp": ended["finished_at"], "data": dict(ended)},
        default=_plain,
        separators=(",", ":"),
    )
    sealed = seal(context.config["secrets"], "deliver", url, body)
    return {"delivery": context.enqueue("webhook.deliver", {"url": url, "body": body, "seal": sealed})}


@handler(
    "webhook.deliver",
    schema=Delivery,
    max_attempts=ATTEMPTS,
    backoff_seconds=BACKOFF_SECONDS,
    timeout_seconds=TIMEOUT_SECONDS,
)
async def deliver(transaction: Transaction, context: Context) -> dict[str, Any]:
    """Send one signed message."""
    url, body, config = transaction.data["url"], transaction.data["body"], context.config
    if not is_sealed(config["secrets"], transaction.data["seal"], "deliver", url, body):
        raise Reject("it was not made by this plugin, or all its secrets have been changed since")
    try:
        answer = await post(
            url,
            body,
            _signed(f"msg_{transaction.id}", body, config["secrets"]),
            timeout_seconds=config["timeout_seconds"],
            allow_private=config["allow_private"],
        )
    except AddressRefused as refused:
        raise Reject(str(refused)) from None
    return _judged(answer, url, context)


@handler("webhook.disable", schema=Gone, transactional=True)
def disable(transaction: Transaction, context: Context) -> None:
    """Send nothing more to a URL that answered 410."""
    url = transaction.data["url"]
    if not is_sealed(context.config["secrets"], transaction.data["seal"], "disable", url):
        raise Reject("it was not made by this plugin, or all its secrets have been changed since")
    context.db[ENDPOINTS].update_one({"_id": url}, {"$set": {"disabled_at": datetime.now(UTC)}}, upsert=True)
    context.log.warning("webhook disabled", url=url)


def _signed(message_id: str, body: str, secrets: list[str]) -> dict[str, str]:
    timestamp = int(time())
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signatures(secrets, message_id, timestamp, body),
    }


def _judged(answer: Answer, url: str, context: Context) -> dict[str, Any]:
    if 200 <= answer.status < 300:
        return {"status": answer.status}
    if answer.status == GONE:
        context.enqueue("webhook.disable", {"url": url, "seal": seal(context.config["secrets"], "disable", url)})
        return {"status": GONE, "disabled": True}
    said = f"the receiver answered {answer.status}"
    if answer.retry_after_seconds is not None and answer.status in (429, 503):
        after = max(answer.retry_after_seconds, 1.0)
        raise RetryLater(said, after_seconds=after, expires_after_seconds=EXPIRES_SECONDS)
    raise DeliveryFailed(said)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return float(value) if isinstance(value, Decimal) else str(value)
