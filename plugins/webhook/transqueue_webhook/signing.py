"""Signatures: those of Standard Webhooks for receivers, and seals on our own transactions.

Anybody who may submit could submit a delivery, so what is to be signed and sent carries a seal that only this plugin
can make.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

PREFIX = "whsec_"
BYTES = range(24, 65)


def key_of(secret: str) -> bytes:
    """The key in a secret as Standard Webhooks writes it.

    Raises:
        ValueError: it is not written so, or is too short.
    """
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith(PREFIX) or len(key) not in BYTES:
        raise ValueError(f"Must be {PREFIX} and 24 to 64 bytes in base64.")
    return key


def signatures(secrets: Sequence[str], message_id: str, timestamp: int, body: str) -> str:
    """The header `webhook-signature`: one signature for each secret, so that receivers may be slow to rotate."""
    content = f"{message_id}.{timestamp}.{body}".encode()
    made = (base64.b64encode(_mac(key_of(secret), content)).decode() for secret in secrets)
    return " ".join(f"v1,{signature}" for signature in made)


def seal(secrets: Sequence[str], *parts: str) -> str:
    """What shows that these parts were put together here."""
    return _mac(key_of(secrets[0]), _sealed(parts)).hex()


def is_sealed(secrets: Sequence[str], given: str, *parts: str) -> bool:
    """Whether the seal is of these parts, by any of the secrets: one that was rotated since still counts."""
    return any(hmac.compare_digest(_mac(key_of(secret), _sealed(parts)).hex(), given) for secret in secrets)


def _sealed(parts: Sequence[str]) -> bytes:
    return b"seal\0" + b"\0".join(part.encode() for part in parts)


def _mac(key: bytes, content: bytes) -> bytes:
    return hmac.new(key, content, hashlib.sha256).digest()
