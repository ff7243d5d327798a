"""One conversation with the SMTP server, and what its answers mean."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any

PORTS = {"none": 25, "starttls": 587, "tls": 465}
PERMANENT = 500


@contextmanager
def server(config: Mapping[str, Any]) -> Generator[smtplib.SMTP]:
    """A server that has been greeted and logged in to.

    Raises:
        OSError, smtplib.SMTPException: it cannot be reached, trusted, or logged in to. That is nothing of a message's
            doing, so it is worth another attempt.
    """
    opened = _opened(config)
    try:
        if config["security"] == "starttls":
            opened.starttls(context=_trust(config))
            opened.ehlo()
        if config["username"]:
            opened.login(config["username"], config["password"])
        yield opened
    finally:
        with suppress(OSError, smtplib.SMTPException):
            opened.quit()
        opened.close()


@dataclass(frozen=True, slots=True)
class Refused:
    """One recipient that the server refused, and whether for good."""

    address: str
    words: str
    is_final: bool


def hand_over(opened: smtplib.SMTP, message: EmailMessage, sender: str, to: Sequence[str]) -> list[Refused]:
    """Give the server a message; the recipients that it refused, while it took the others.

    Raises:
        smtplib.SMTPRecipientsRefused: it refused all of them.
        smtplib.SMTPResponseException: it refused the sender, or the message.
    """
    refused = opened.send_message(message, from_addr=sender, to_addrs=list(to))
    return [Refused(address, said(code, words), code >= PERMANENT) for address, (code, words) in refused.items()]


def is_final(error: smtplib.SMTPException) -> bool:
    """Whether no retry will mend it: a permanent answer (5xx) to this sender, these recipients or this message."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return all(code >= PERMANENT for code, _ in error.recipients.values())
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return True
    if isinstance(error, smtplib.SMTPSenderRefused | smtplib.SMTPDataError):
        return bool(error.smtp_code >= PERMANENT)
    return False


def words_of(error: smtplib.SMTPException) -> str:
    """What the server said."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return "; ".join(f"{address}: {said(code, words)}" for address, (code, words) in error.recipients.items())
    if isinstance(error, smtplib.SMTPResponseException):
        return said(error.smtp_code, error.smtp_error)
    return str(error)


def said(code: int, words: bytes | str) -> str:
    """An answer as one line."""
    text = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
    return f"{code} {' '.join(text.split())}"


def _opened(config: Mapping[str, Any]) -> smtplib.SMTP:
    host, port, seconds = config["host"], config["port"] or PORTS[config["security"]], config["timeout_seconds"]
    if config["security"] == "tls":
        return smtplib.SMTP_SSL(host, port, timeout=seconds, context=_trust(config))
    return smtplib.SMTP(host, port, timeout=seconds)


def _trust(config: Mapping[str, Any]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=config["ca_file"] or None)
