"""The blueprint at /ui: which address shows which page, and what becomes of errors there.

One page is one function, from what the window sees and what the address says to plain values, and one template.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, cast

from flask import Blueprint, Response, current_app, g, make_response, redirect, render_template, request, url_for
from werkzeug.exceptions import HTTPException

from .. import __version__
from ..access import Access, Scope
from ..errors import QueueUnavailable, SubmissionRefused
from . import failures, house, kinds, listing, overview, query, staff, story, trend, words
from .actions import Actions
from .entrance import Entrance
from .query import Arguments
from .session import Sessions
from .window import Window

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
STATIC_SECONDS = 3600

View = Callable[[Window, Arguments, datetime], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Page:
    """One page without a part of its address that varies."""

    name: str
    rule: str
    title: str
    view: View
    in_menu: bool = True


PAGES = (
    Page("overview", "/", "Overview", overview.overview),
    Page("transactions", "/transactions", "Transactions", listing.transactions),
    Page("failures", "/failures", "Failures", failures.failures),
    Page("preview", "/failures/redrive", "Redrive", failures.preview, in_menu=False),
    Page("types", "/types", "Types", kinds.types),
    Page("workers", "/workers", "Workers", staff.workers),
    Page("plugins", "/plugins", "Plugins", house.plugins),
    Page("audit", "/audit", "Audit", house.audit),
    Page("system", "/system", "System", house.system),
)


def dashboard(window: Window) -> Blueprint:
    """The pages, their login and their actions."""
    ui = Blueprint("ui", __name__, url_prefix="/ui", template_folder="templates", static_folder="static")
    entrance = Entrance(window, Sessions(partial(window.queue.secrets.of, "window")))
    ui.before_request(entrance.admit)
    ui.after_request(entrance.keep)
    ui.after_request(_protected)
    ui.context_processor(_shared_by_all)
    for name, filter in words.FILTERS.items():
        ui.add_app_template_filter(filter, name)
    for page in PAGES:
        ui.add_url_rule(page.rule, page.name, partial(_show, window, page))
    _route_details(ui, window)
    _route_login(ui, entrance, window)
    _route_actions(ui, Actions(window))
    ui.add_url_rule("/<path:rest>", "nowhere", _nowhere)
    _answer_errors(ui)
    return ui


def _show(window: Window, page: Page) -> str:
    if page.name == "transactions" and query.is_id(sought := request.args.get("id", "").strip()):
        return cast("str", redirect(url_for("ui.story", transaction_id=sought), 303))
    now = window.queue.clock.now()
    found = page.view(window, request.args, now)
    return render_template(f"ui/{page.name}.html", now=now, title=page.title, **found)


def _route_details(ui: Blueprint, window: Window) -> None:
    def one(transaction_id: str) -> str:
        transaction = window.queue.get(transaction_id) if query.is_id(transaction_id) else None
        if transaction is None:
            raise SubmissionRefused(404, "not_found", "There is no such transaction.")
        now = window.queue.clock.now()
        found = story.story(window, transaction, now, request.host_url.rstrip("/"))
        return render_template("ui/story.html", now=now, title=f"Transaction {transaction_id}", **found)

    def kind(type: str, tried: str | None = None) -> str:
        claims = window.table.types()
        handler = claims.get(type) or window.table.resolve(type)
        found = kinds.kind(window, type, handler, request.args)
        if handler is None and not found["depth"].queued and window.table.parked(type) is None and not found["pause"]:
            raise SubmissionRefused(404, "not_found", f"There is no handler for the type {type!r}.")
        return render_template("ui/kind.html", now=window.queue.clock.now(), title=type, tried=tried, **found)

    def plots() -> Response:
        span = trend.SPANS[query.choice(request.args, "span", trend.SPANS, "1h")]
        series = trend.points(window, query.type_name(request.args), span, window.queue.clock.now())
        return make_response(trend.plotted(series, span))

    ui.add_url_rule("/transactions/<transaction_id>", "story", one)
    ui.add_url_rule("/types/<type>", "kind", kind)
    ui.add_url_rule("/plots.json", "plots", plots)


def _route_login(ui: Blueprint, entrance: Entrance, window: Window) -> None:
    def login() -> str:
        return render_template("ui/login.html", title="Log in", next=_next(request.args.get("next", "")))

    def log_in() -> Any:
        if window.guard is not None and window.guard.wants_key():
            try:
                entrance.log_in(request.form.get("key", ""))
            except SubmissionRefused as error:
                page = render_template(
                    "ui/login.html", title="Log in", next=_next(request.form.get("next", "")), error=error
                )
                return page, error.status
        return redirect(_next(request.form.get("next", "")), 303)

    ui.add_url_rule("/login", "login", login)
    ui.add_url_rule("/login", "log_in", log_in, methods=["POST"])
    ui.add_url_rule("/logout", "log_out", entrance.log_out, methods=["POST"])


def _route_actions(ui: Blueprint, actions: Actions) -> None:
    def act(rule: str, name: str, action: Callable[..., str]) -> None:
        ui.add_url_rule(rule, name, lambda **given: redirect(action(**given), 303), methods=["POST"])

    def attempt(type: str) -> Any:
        try:
            target = actions.attempt(type)
        except SubmissionRefused as error:
            if error.status not in (400, 413, 422) and error.code != "overloaded":
                raise
            text = "; ".join(f"{path}: {' '.join(said)}" for path, said in error.errors.items())
            g.tried_error = f"{error.message} {text}".strip()
            target = None
        else:
            g.tried_error = ""
        if target:
            return redirect(target, 303)
        return _tried(type)

    act("/transactions/<transaction_id>/retry", "retry", actions.retry)
    act("/transactions/<transaction_id>/cancel", "cancel", actions.cancel)
    act("/transactions/selected", "selected", actions.selected)
    act("/types/<type>/pause", "pause", actions.pause)
    act("/types/<type>/resume", "resume", actions.resume)
    act("/failures/redrive", "redrive", actions.redrive)
    act("/system/reload", "reload", actions.reload)
    ui.add_url_rule("/types/<type>/try", "attempt", attempt, methods=["POST"])


def _tried(type: str) -> Any:
    """The page of the type again, with what was sent, and what was said of it."""
    return current_app.view_functions["ui.kind"](type=type, tried=request.form.get("data", ""))


def _next(given: str) -> str:
    """Where to go after the login: a page of ours, whatever the address says."""
    ours = given.startswith("/ui/") and not any(sign in given for sign in ("\\", "\r", "\n", "//"))
    return given if ours else url_for("ui.overview")


def _nowhere(rest: str) -> str:
    raise SubmissionRefused(404, "not_found", f"There is no page /ui/{rest[:200]}.")


def _shared_by_all() -> dict[str, Any]:
    session = g.get("window_session")
    mine: Access = g.get("access") or Access.nobody()
    return {
        "version": __version__,
        "menu": [page for page in PAGES if page.in_menu],
        "csrf": session.token if session else "",
        "told": session.note if session else "",
        "may": {scope.value: mine.allows(scope) for scope in Scope},
        "by": mine.by,
        "logged_in": bool(mine.key_id),
        "ago": words.ago,
    }


def _protected(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = POLICY
    # With `no-referrer` browsers send forms with `Origin: null`, and nobody could tell where they come from.
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    if request.endpoint == "ui.static":
        response.headers["Cache-Control"] = f"private, max-age={STATIC_SECONDS}"
    else:
        response.headers["Cache-Control"] = "no-store"
    return response


def _answer_errors(ui: Blueprint) -> None:
    ui.register_error_handler(SubmissionRefused, lambda error: _error(error.status, error.message, error))
    ui.register_error_handler(QueueUnavailable, lambda _: _error(503, "The database did not answer in time."))
    ui.register_error_handler(HTTPException, lambda error: _error(error.code or 400, error.description or error.name))


def _error(status: int, message: str, error: SubmissionRefused | None = None) -> tuple[str, int, dict[str, str]]:
    seconds = error.retry_after_seconds if error else 2 if status == 503 else None
    headers = {"Retry-After": str(seconds)} if seconds else {}
    return render_template("ui/error.html", title=f"{status}", status=status, message=message), status, headers
