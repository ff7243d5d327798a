"""What is submitted, and the message that it becomes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

MOST = 50  # recipients of one message


def _one_line(text: str) -> None:
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
        raise ValidationError("Must be one line of text.")


def _addresses(example: str, **more: Any) -> fields.List:
    return fields.List(fields.Email(), metadata={"example": [example]}, **more)


class Mail(Schema):
    """One message."""

    to = _addresses("ann@example.org", required=True, validate=validate.Length(1, MOST))
    cc = fields.List(fields.Email(), load_default=list, validate=validate.Length(max=MOST))
    bcc = fields.List(fields.Email(), load_default=list, validate=validate.Length(max=MOST))
    sender = fields.Email(data_key="from", load_default=None, allow_none=True)
    reply_to = fields.Email(load_default=None, allow_none=True)
    subject = fields.String(
        required=True, validate=[validate.Length(1, 500), _one_line], metadata={"example": "Your parcel"}
    )
    text = fields.String(load_default="", metadata={"example": "It has been sent."})
    html = fields.String(load_default="")
    recipients = fields.List(
        fields.Email(), load_default=list, metadata={"description": "Only to these of the addresses above."}
    )
    message_id = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.Regexp(r"<[^\s<>@]+@[^\s<>@]+>\Z"),
        metadata={"description": "A Message-ID of your own; else it comes from the transaction."},
    )

    @validates_schema
    def _something_to_say(self, data: Mapping[str, Any], **_: Any) -> None:
        if not data.get("text") and not data.get("html"):
            raise ValidationError("Give text, html, or both.", "text")


def recipients(mail: Mapping[str, Any]) -> list[str]:
    """Everybody to whom it goes, once."""
    return list(dict.fromkeys(mail["recipients"] or [*mail["to"], *mail["cc"], *mail["bcc"]]))


def again(mail: Mapping[str, Any], *, to: list[str], sender: str, message_id: str) -> dict[str, Any]:
    """The submission that sends the same message once more, to some of its recipients."""
    sent = {name: value for name, value in mail.items() if value and name != "sender"}
    return {**sent, "from": sender, "recipients": to, "message_id": message_id}


def composed(mail: Mapping[str, Any], *, sender: str, message_id: str, at: datetime) -> EmailMessage:
    """The message, the same for every attempt."""
    message = EmailMessage()
    message["Message-ID"] = message_id
    message["Date"] = format_datetime(at)
    message["From"] = Address(addr_spec=sender)
    message["To"] = [Address(addr_spec=one) for one in mail["to"]]
    if mail["cc"]:
        message["Cc"] = [Address(addr_spec=one) for one in mail["cc"]]
    if mail["reply_to"]:
        message["Reply-To"] = Address(addr_spec=mail["reply_to"])
    message["Subject"] = mail["subject"]
    message["Auto-Submitted"] = "auto-generated"
    if mail["text"] or not mail["html"]:
        message.set_content(mail["text"])
    if mail["html"] and mail["text"]:
        message.add_alternative(mail["html"], subtype="html")
    elif mail["html"]:
        message.set_content(mail["html"], subtype="html")
    return message
