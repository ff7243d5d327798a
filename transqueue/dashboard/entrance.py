"""Before each page: who looks, and whether a form was really sent by them."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import cast
from urllib.parse import urlsplit

from flask import Response, g, redirect, request, url_for

from ..access import Access, Scope
from ..errors import SubmissionRefused
from .session import Session, Sessions, forget
from .window import Window

FORM_BYTES = 256 * 1024  # the longest data that can be tried, and a little
FORM_PARTS = 1000
FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP")
OPEN = ("ui.static", "ui.login", "ui.log_in")  # what can be seen before a key was shown


class Entrance:
    """Lets requests to pages pass, or refuses them."""

    def __init__(self, window: Window, sessions: Sessions) -> None:
        self._window, self._sessions = window, sessions

    def admit(self) -> Response | None:
        """Set `g.access` and `g.window_session`, or send to the login.

        Raises:
            SubmissionRefused: 403 `forbidden`, 411 or 413.
        """
        if request.endpoint == "ui.static":
            return None
        if request.method == "POST":
            self._read_form()
        session = self._sessions.read(request)
        g.window_session = session or self._sessions.new()
        g.told = g.window_session.note
        if request.method == "POST":
            _refuse_forgery(session)
        return self._recognise(g.window_session)

    def keep(self, response: Response) -> Response:
        """Write the session back, used now unless the page refreshed by itself."""
        session: Session | None = g.get("window_session")
        if session is None or g.get("left"):
            return response
        if "HX-Request" not in request.headers or request.method == "POST":
            session = self._sessions.seen(session)
        if session.note == g.get("told"):  # it has just been shown
            session = replace(session, note="") if response.status_code == 200 else session
        if session != self._sessions.read(request):
            self._sessions.write(session, response, request)
        return response

    def log_in(self, text: str) -> None:
        """Begin a session with an API key.

        Raises:
            SubmissionRefused: it is none, or not one to look on with.
        """
        guard = self._window.guard
        if guard is None:
            return
        access = guard.recognised(text.strip(), request.remote_addr or "")
        if not access.allows(Scope.READ):
            raise SubmissionRefused(403, "forbidden", "This key only submits; the window needs the scope `read`.")
        g.window_session = self._sessions.new(access.key_id)

    def log_out(self) -> Response:
        """End the session."""
        g.left = True
        response = cast("Response", redirect(url_for("ui.login"), 303))
        forget(response)
        return response

    def _recognise(self, session: Session) -> Response | None:
        guard = self._window.guard
        if guard is None:
            g.access = Access.local()
            return None
        if not guard.wants_key():
            _refuse_what_came_from_elsewhere()
            g.access = Access.local()
            return None
        found = guard.keyring.access(session.key_id) if session.key_id else None
        g.access = found if found and found.allows(Scope.READ) else Access.nobody()
        if g.access.allows(Scope.READ) or request.endpoint in OPEN:
            return None
        return _to_login()

    def _read_form(self) -> None:
        """Read the body before anything is decided, without keeping others from being served meanwhile."""
        if request.content_length is None:
            raise SubmissionRefused(411, "length_required", "A form must come with its length.")
        request.max_content_length, request.max_form_parts = FORM_BYTES * 4, FORM_PARTS
        request.max_form_memory_size = FORM_BYTES * 4
        if request.content_length > FORM_BYTES * 4:  # encoded, a form is up to three times as long
            raise SubmissionRefused(413, "too_large", "The form is too large.")
        with self._window.reading(request.environ):
            request.get_data(cache=True)


def access() -> Access:
    """What the one who looks may do."""
    return cast("Access", g.access)


def require(scope: Scope) -> None:
    """Go on only with this scope.

    Raises:
        SubmissionRefused: 403 `forbidden`.
    """
    if not access().allows(scope):
        raise SubmissionRefused(403, "forbidden", f"This needs a key with the scope `{scope}`.")


def note(text: str) -> None:
    """Tell this on the next page."""
    g.window_session = replace(g.window_session, note=text)


def _to_login() -> Response:
    if "HX-Request" in request.headers:  # a refresh: the whole page goes to the login
        return Response(status=204, headers={"HX-Redirect": url_for("ui.login")})
    target = request.full_path.removesuffix("?") if request.method == "GET" else url_for("ui.overview")
    return cast("Response", redirect(url_for("ui.login", next=target), 303))


def _refuse_forgery(session: Session | None) -> None:
    """A form must carry the session's token, and the browser must say that it came from a page of ours."""
    if session is None or not session.sent(request.form.get("csrf", "")):
        raise _forged("The form is not of this session any more: reload the page and try again.")
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is None and origin is None:
        raise _forged("The browser does not say where the form comes from.")
    foreign = origin is not None and urlsplit(origin).netloc != request.host
    if (site is not None and site != "same-origin") or foreign:
        raise _forged("The form came from another site.")


def _refuse_what_came_from_elsewhere() -> None:
    """Without keys only this machine looks, under its own name: not through a proxy, nor by a name rebound to it."""
    if any(name in request.headers for name in FORWARDED):
        raise _forged("This came through a proxy, and there is no API key yet: make one with `transqueue keys create`.")
    host = urlsplit(f"//{request.host}").hostname or ""
    if host != "localhost" and not _is_loopback(host):
        raise _forged("Without API keys the window is seen as http://127.0.0.1 or http://localhost only.")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _forged(message: str) -> SubmissionRefused:
    return SubmissionRefused(403, "forbidden", message)
