"""Who may pass: before each view, the request's API key, and whether what it allows is what the route needs."""

from __future__ import annotations

from typing import cast
from urllib.parse import urlsplit

from ..access import Access, Guard, Scope
from ..access.guard import NO_KEY, WRONG_KEY
from ..errors import SubmissionRefused
from .gate import Environ
from .needs import OPEN, Need, needed

BEARER = "bearer"
FORWARDED = frozenset(  # what a proxy adds
    {"HTTP_FORWARDED", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST", "HTTP_X_REAL_IP"}
)

_ACCESS = "transqueue.access"
_LOCAL, _NOBODY = Access.local(), Access.nobody()


class Doorkeeper:
    """Lets each request pass, or refuses it."""

    def __init__(self, guard: Guard | None) -> None:
        self._guard = guard

    def admit(self, environ: Environ, method: str, rule: str | None) -> None:
        """Find out what the request may do, for the view; a request without a rule has no view.

        Raises:
            SubmissionRefused: 401 `unauthorized`, 403 `forbidden` or 429 `too_many_wrong_keys`.
            QueueUnavailable: the keys could not be looked up.
        """
        if rule is None:  # there is no such route: that is what will be answered
            return
        need = needed(method, rule)
        if need is None:
            raise _forbidden("Nobody may: this route is not in the table of what each needs.")
        environ[_ACCESS] = _NOBODY if need == OPEN else self._access(environ, need)

    def _access(self, environ: Environ, need: Need) -> Access:
        access = self._recognised(environ)
        if access is not _LOCAL and not any(access.allows(scope) for scope in need):
            raise _forbidden(f"This needs a key with the scope {_either(need)}.")
        return access

    def _recognised(self, environ: Environ) -> Access:
        if self._guard is None:
            return _LOCAL
        if not self._guard.wants_key():
            _refuse_what_came_from_elsewhere(environ)
            return _LOCAL
        scheme, _, text = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if not text:
            raise SubmissionRefused(401, "unauthorized", NO_KEY)
        if scheme.lower() != BEARER:
            raise SubmissionRefused(401, "unauthorized", WRONG_KEY)
        return self._guard.recognised(text.strip(), environ.get("REMOTE_ADDR") or "")


def access_of(environ: Environ) -> Access:
    """What a request that was admitted may do."""
    return cast("Access", environ[_ACCESS])


def _refuse_what_came_from_elsewhere(environ: Environ) -> None:
    """Without keys only this machine is let in: not what a proxy passes on, nor what a page makes a browser send.

    Raises:
        SubmissionRefused: 401 `unauthorized` or 403 `forbidden`.
    """
    if FORWARDED & environ.keys():
        raise SubmissionRefused(
            401, "unauthorized", "This came through a proxy, and there is no API key yet. " + NO_KEY
        )
    from_page = environ.get("HTTP_SEC_FETCH_SITE", "none") not in ("none", "same-origin")
    origin = environ.get("HTTP_ORIGIN")
    if from_page or (origin is not None and not _is_own(origin, environ)):
        raise _forbidden("A page of another site sent this; without API keys that is refused.")


def _is_own(origin: str, environ: Environ) -> bool:
    from werkzeug.wsgi import get_host  # noqa: PLC0415  (slow, and only pages send an origin)

    return urlsplit(origin).netloc == get_host(environ)


def _either(need: Need) -> str:
    return " or ".join(f"`{scope}`" for scope in Scope if scope in need)


def _forbidden(message: str) -> SubmissionRefused:
    return SubmissionRefused(403, "forbidden", message)
