"""Who looks: a signed cookie that stands for an API key, and how it ends.

The cookie holds the key's id, never the key: what the key allows is looked up for each request, so a key that is
revoked ends its sessions. It is signed with a secret that all hosts share, lives for an hour after the last thing that
somebody did, and for half a day at most; pages that refresh by themselves do not count.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from flask import Request, Response
from itsdangerous import BadSignature, URLSafeSerializer

COOKIE = "transqueue_window"
IDLE_SECONDS = 3600
LONGEST_SECONDS = 12 * 3600
SEEN_AGAIN_SECONDS = 60  # how exactly the last use is kept
NOTE_LENGTH = 300


@dataclass(frozen=True, slots=True)
class Session:
    """One browser that looks.

    Attributes:
        token: what each form sends along.
        began, seen: seconds since 1970.
        key_id: the key that was shown; none before, and where no key is needed.
        note: what to tell on the next page.
    """

    token: str
    began: int
    seen: int
    key_id: str | None = None
    note: str = ""

    def is_over(self, now: float) -> bool:
        """Whether it has been idle for too long, or has lasted for too long."""
        return (
            now - self.seen > IDLE_SECONDS
            or now - self.began > LONGEST_SECONDS
            or self.began > now + SEEN_AGAIN_SECONDS
        )

    def sent(self, token: str) -> bool:
        """Whether a form came from a page of this session."""
        return hmac.compare_digest(self.token.encode(), token.encode("utf-8", "replace"))


class Sessions:
    """Reads and writes the cookie."""

    def __init__(self, secret: Callable[[], str], now: Callable[[], float] = time.time) -> None:
        self._secret, self._now = secret, now

    def new(self, key_id: str | None = None, note: str = "") -> Session:
        """A session that begins now, with a token that no earlier one had."""
        now = int(self._now())
        return Session(secrets.token_urlsafe(24), now, now, key_id, note)

    def read(self, request: Request) -> Session | None:
        """The session of a request; none when there is none, or it is over, or not ours."""
        try:
            session = Session(*self._signer().loads(request.cookies.get(COOKIE, "")))
        except (BadSignature, TypeError):
            return None
        return None if session.is_over(self._now()) else session

    def seen(self, session: Session) -> Session:
        """The session, in use now."""
        now = int(self._now())
        return replace(session, seen=now) if now - session.seen >= SEEN_AGAIN_SECONDS else session

    def write(self, session: Session, response: Response, request: Request) -> None:
        """Have the browser keep it: out of reach of scripts, and never sent from another site's page."""
        facts: list[Any] = [session.token, session.began, session.seen, session.key_id, session.note[:NOTE_LENGTH]]
        response.set_cookie(
            COOKIE,
            self._signer().dumps(facts),
            max_age=LONGEST_SECONDS,
            path="/ui",
            httponly=True,
            samesite="Strict",
            secure=request.is_secure or request.headers.get("X-Forwarded-Proto") == "https",
        )

    def _signer(self) -> URLSafeSerializer:
        return URLSafeSerializer(self._secret(), salt="transqueue window")


def forget(response: Response) -> None:
    """End the session in the browser."""
    response.delete_cookie(COOKIE, path="/ui", httponly=True, samesite="Strict")
