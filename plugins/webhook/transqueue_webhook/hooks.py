"""Who is told: by `options.webhook` of a submission, or by the configuration of its type."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from transqueue import Check, Draft, hookimpl

from .addresses import address_of
from .signing import key_of

NAME = "webhook"
URL_LENGTH = 2048


def _secret(value: str) -> None:
    try:
        key_of(value)
    except ValueError as error:
        raise ValidationError(str(error)) from None


def _url(value: str, *, allow_private: bool) -> None:
    parts = urlsplit(value)
    if parts.scheme != "https" and not (allow_private and parts.scheme == "http"):
        raise ValidationError("Must be an https URL.")
    if parts.username or parts.password:
        raise ValidationError("Must not hold a user or a password.")
    if not parts.hostname or any(letter.isspace() for letter in value):
        raise ValidationError("Not a valid URL.")


class Config(Schema):
    """How webhooks are signed and sent."""

    secrets = fields.List(
        fields.String(validate=_secret),
        required=True,
        load_only=True,
        validate=validate.Length(1, 5),
        metadata={"description": "whsec_…: the newest first; each message is signed with all of them."},
    )
    types = fields.Dict(
        fields.String(),
        fields.String(validate=validate.Length(1, URL_LENGTH)),
        load_default=dict,
        metadata={"description": "The URL to tell for each type, or family such as invoice.*."},
    )
    timeout_seconds = fields.Float(
        load_default=15.0,
        validate=validate.Range(1, 30),
        metadata={"description": "How long a receiver may take to answer."},
    )
    allow_private = fields.Boolean(
        load_default=False,
        metadata={"description": "For tests and development: http, and addresses that are not public."},
    )

    @validates_schema
    def _urls(self, data: dict[str, Any], **_: Any) -> None:
        for type, url in data["types"].items():
            try:
                _url(url, allow_private=data["allow_private"])
            except ValidationError as error:
                raise ValidationError({"types": {type: error.messages}}) from None


@hookimpl
def transqueue_config_schema() -> type[Schema]:
    """How webhooks are signed and sent."""
    return Config


@hookimpl
def transqueue_options_schema(config: Mapping[str, Any]) -> Schema:
    """`options.webhook`."""
    url = fields.String(
        required=True,
        validate=[validate.Length(1, URL_LENGTH), partial(_url, allow_private=config["allow_private"])],
        metadata={"description": "Where to tell how it ended.", "example": "https://shop.example/hook"},
    )
    return Schema.from_dict({"url": url}, name="WebhookOptions")()


@hookimpl
def transqueue_before_enqueue(transaction: Draft, options: Mapping[str, Any] | None, config: Mapping[str, Any]) -> None:
    """Have the end told to whoever asked."""
    url = options["url"] if options else _configured(transaction.type, config["types"])
    if url and transaction.plugin != NAME:
        transaction.on_end = [("webhook.outcome", {"url": url})]


@hookimpl
def transqueue_health_checks(config: Mapping[str, Any]) -> list[Check]:
    """Each configured URL leads to an address that may be sent to."""
    return [
        Check(
            f"{type} to {urlsplit(url).hostname}",
            partial(_resolves, url, allow_private=config["allow_private"]),
            "Correct the URL under plugins.webhook.config.types, or the name's address.",
        )
        for type, url in config["types"].items()
    ]


def _resolves(url: str, *, allow_private: bool) -> None:
    parts = urlsplit(url)
    asyncio.run(address_of(parts.hostname or "", parts.port or 443, allow_private=allow_private))


def _configured(type: str, types: Mapping[str, str]) -> str | None:
    """The URL of a type, else that of the longest family it is in."""
    if type in types:
        return types[type]
    families = [one for one in types if one.endswith(".*") and type.startswith(one.removesuffix("*"))]
    return types[max(families, key=len)] if families else None
