"""Who may pass: before each view, the request's API key, and whether what it allows is what the route needs."""

from __future__ import annotations

from typing import cast
from urllib.parse import urlsplit

from flask import g, request

from ..access import Access, Guard, Scope
from ..access.guard import NO_KEY, WRONG_KEY
from ..errors import SubmissionRefused
from .needs import OPEN, Need, needed

BEARER = "bearer"
FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP")  # what a proxy adds


class Doorkeeper:
    """Lets each request pass, or refuses it."""

    def __init__(self, guard: Guard | None) -> None:
        self._guard = guard

    def admit(self) -> None:
        """Set `flask.g.access` for the view.

        Raises:
            SubmissionRefused: 401 `unauthorized`, 403 `forbidden` or 429 `too_many_wrong_keys`.
            QueueUnavailable: the keys could not be looked up.
        """
        if request.url_rule is None:  # there is no such route: that is what will be answered
            return
        need = needed(request.method, request.url_rule.rule)
        if need is None:
            raise _forbidden("Nobody may: this route is not in the table of what each needs.")
        g.access = Access.nobody() if need == OPEN else self._access(need)

    def _access(self, need: Need) -> Access:
        access = self._recognised()
        if not any(access.allows(scope) for scope in need):
            raise _forbidden(f"This needs a key with the scope {_either(need)}.")
        return access

    def _recognised(self) -> Access:
        if self._guard is None:
            return Access.local()
        if not self._guard.wants_key():
            _refuse_what_came_from_elsewhere()
            return Access.local()
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        if not text:
            raise SubmissionRefused(401, "unauthorized", NO_KEY)
        if scheme.lower() != BEARER:
            raise SubmissionRefused(401, "unauthorized", WRONG_KEY)
        return self._guard.recognised(text.strip(), request.remote_addr or "")


def access() -> Access:
    """What the present request may do."""
    return cast("Access", g.access)


def _refuse_what_came_from_elsewhere() -> None:
    """Without keys only this machine is let in: not what a proxy passes on, nor what a page makes a browser send.

    Raises:
        SubmissionRefused: 401 `unauthorized` or 403 `forbidden`.
    """
    if any(name in request.headers for name in FORWARDED):
        raise SubmissionRefused(
            401, "unauthorized", "This came through a proxy, and there is no API key yet. " + NO_KEY
        )
    origin = request.headers.get("Origin")
    from_page = request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin")
    if from_page or (origin is not None and urlsplit(origin).netloc != request.host):
        raise _forbidden("A page of another site sent this; without API keys that is refused.")


def _either(need: Need) -> str:
    return " or ".join(f"`{scope}`" for scope in Scope if scope in need)


def _forbidden(message: str) -> SubmissionRefused:
    return SubmissionRefused(403, "forbidden", message)
