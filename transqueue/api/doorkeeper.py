"""Who may pass: before each view, the request's API key, and what that key allows.

Without any key in the database, and only while the door listens on loopback, everybody who reaches it may do
everything. From the first key on, each request to what is not open to everybody needs one.
"""

from __future__ import annotations

from typing import Protocol, cast

from flask import g, request

from ..access import Access, Scope
from ..errors import SubmissionRefused
from .needs import OPEN, Need, needed

BEARER = "bearer"


class Keys(Protocol):
    """What recognises keys."""

    def in_use(self) -> bool:
        """Whether requests need a key."""
        ...

    def authenticate(self, text: str, /) -> Access | None:
        """What the key of this text allows now."""
        ...


class NoKeys:
    """There are none, and there never will be: for an application without a database."""

    def in_use(self) -> bool:
        return False

    def authenticate(self, _: str) -> Access | None:
        return None


class Doorkeeper:
    """Lets each request pass, or refuses it."""

    def __init__(self, keys: Keys, *, loopback: bool) -> None:
        self._keys, self._loopback = keys, loopback

    def admit(self) -> None:
        """Set `flask.g.access` for the view.

        Raises:
            SubmissionRefused: 401 `unauthorized` or 403 `forbidden`.
        """
        if request.url_rule is None:  # there is no such route: that is what will be answered
            return
        need = needed(request.method, request.url_rule.rule)
        if need is None:
            raise _forbidden("Nobody may: this route is not in the table of what each needs.")
        g.access = Access.nobody() if need == OPEN else self._access(need)

    def _access(self, need: Need) -> Access:
        access = self._shown() if self._keys.in_use() or not self._loopback else Access.local()
        if not any(access.allows(scope) for scope in need):
            raise _forbidden(f"This needs a key with the scope {_either(need)}.")
        return access

    def _shown(self) -> Access:
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        if not text:
            raise _unauthorized("This needs an API key, sent as `Authorization: Bearer tq_<id>_<secret>`.")
        access = self._keys.authenticate(text.strip()) if scheme.lower() == BEARER else None
        if access is None:
            raise _unauthorized("This API key is not valid: it is unknown, revoked or expired.")
        return access


def access() -> Access:
    """What the present request may do."""
    return cast("Access", g.access)


def _either(need: Need) -> str:
    return " or ".join(f"`{scope}`" for scope in Scope if scope in need)


def _unauthorized(message: str) -> SubmissionRefused:
    return SubmissionRefused(401, "unauthorized", message)


def _forbidden(message: str) -> SubmissionRefused:
    return SubmissionRefused(403, "forbidden", message)
