"""The plugin's section of config.yaml."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema


class Config(Schema):
    """Which server takes the mail, and how to speak to it."""

    host = fields.String(load_default="localhost", metadata={"description": "The SMTP server."})
    port = fields.Integer(
        strict=True,
        load_default=None,
        allow_none=True,
        validate=validate.Range(1, 65_535),
        metadata={"description": "Its port; else 465 for `tls`, 587 for `starttls`, 25 for `none`."},
    )
    security = fields.String(
        load_default="starttls",
        validate=validate.OneOf(["starttls", "tls", "none"]),
        metadata={"description": "`tls` from the first byte, `starttls` before anything is sent, or `none`."},
    )
    ca_file = fields.String(
        load_default="", metadata={"description": "Certificates to trust, in a PEM file; else those of the system."}
    )
    username = fields.String(load_default="", metadata={"description": "Who logs in; empty: nobody does."})
    password = fields.String(load_default="", load_only=True, metadata={"description": "With which password."})
    sender = fields.Email(
        load_default=None, allow_none=True, metadata={"description": "The address of mail that names no `from`."}
    )
    senders = fields.List(
        fields.Email(),
        load_default=list,
        metadata={"description": "The addresses that submitters may give as `from`; empty: only `sender`."},
    )
    domain = fields.String(
        load_default="transqueue.invalid",
        validate=validate.Regexp(r"[A-Za-z0-9.-]+\Z"),
        metadata={"description": "What stands after the @ of each Message-ID: your own domain."},
    )
    timeout_seconds = fields.Float(
        load_default=20.0,
        validate=validate.Range(0, 50, min_inclusive=False),
        metadata={"description": "For each answer of the server."},
    )

    @validates_schema
    def _no_password_in_the_clear(self, data: dict[str, Any], **_: Any) -> None:
        if data["username"] and data["security"] == "none" and data["host"] not in ("localhost", "127.0.0.1", "::1"):
            raise ValidationError("a password is not sent in the clear: use starttls or tls", "security")
