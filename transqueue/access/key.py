"""An API key: `tq_<id>_<secret>`, of which only the id and the secret's SHA-256 are kept.

A secret is 256 random bits, so a fast hash is enough: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from .access import Access, Scope

ID_BYTES, SECRET_BYTES = 6, 32
NO_HASH = "0" * 64  # of no secret: what an unknown id is compared with

_TEXT = re.compile(rf"tq_([0-9a-f]{{{2 * ID_BYTES}}})_([0-9a-f]{{{2 * SECRET_BYTES}}})")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """One key as it is kept.

    Attributes:
        hash: SHA-256 of the secret, in hex.
        types: what may be submitted with it; none: every type.
        last_used_at: to the minute.
    """

    id: str
    submitter: str
    scopes: frozenset[Scope]
    hash: str = field(repr=False)
    created_at: datetime
    types: frozenset[str] | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    note: str = ""

    @property
    def access(self) -> Access:
        """What a request with it may do."""
        return Access(self.submitter, self.id, self.scopes, self.types)

    def state(self, now: datetime) -> str:
        """`revoked`, `expired` or `active`."""
        if self.revoked_at:
            return "revoked"
        return "expired" if self.expires_at and self.expires_at <= now else "active"


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made, and its text, which is shown once and kept nowhere."""

    key: ApiKey
    text: str = field(repr=False)


def new_key(
    submitter: str,
    scopes: Collection[Scope],
    now: datetime,
    *,
    types: Collection[str] | None = None,
    expires_at: datetime | None = None,
    note: str = "",
) -> NewKey:
    """Make a key; it works once it is kept."""
    id, secret = secrets.token_hex(ID_BYTES), secrets.token_hex(SECRET_BYTES)
    key = ApiKey(
        id=id,
        submitter=submitter,
        scopes=frozenset(scopes),
        hash=hashed(secret),
        created_at=now,
        types=frozenset(types) if types else None,
        expires_at=expires_at,
        note=note,
    )
    return NewKey(key, f"tq_{id}_{secret}")


def parts(text: str) -> tuple[str, str]:
    """The id and the secret in a key's text; two empty texts when it is none."""
    found = _TEXT.fullmatch(text)
    return (found[1], found[2]) if found else ("", "")


def hashed(secret: str) -> str:
    """The SHA-256 of a secret, in hex."""
    return hashlib.sha256(secret.encode()).hexdigest()


def fits(secret: str, key: ApiKey | None) -> bool:
    """Whether the secret is the key's; takes as long when there is no such key."""
    return hmac.compare_digest(hashed(secret), key.hash if key else NO_HASH)
