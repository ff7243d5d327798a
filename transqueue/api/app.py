"""The application: which request goes where, and what happens to every error on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from importlib import import_module
from types import ModuleType
from typing import Any

from flask import Blueprint, Flask, Response, request
from werkzeug.exceptions import HTTPException

from ..access import Guard
from ..admin.part import Part
from ..clock import Clock
from ..config import Config
from ..events import Events
from ..queue import TransactionQueue
from .catalog import Catalog, PluginTable, Reports
from .gate import ALIVE
from .health import Health
from .overload import Overload
from .pauses import Pauses
from .reception import Reception, View
from .request_id import begin
from .responses import http_error, identified, protected, response
from .shortcut import Shortcut
from .transactions import Transactions
from .waiters import Waiters


def create_app(
    *,
    queue: TransactionQueue,
    table: PluginTable,
    config: Config,
    clock: Clock,
    events: Events,
    guard: Guard | None = None,
    overload: Overload | None = None,
    reports: Reports = tuple,
    parts: Callable[[], Sequence[Part]] | None = None,
    dashboard: Blueprint | None = None,
) -> Flask:
    """The WSGI application of one process, with everything that its requests share.

    Without a guard everybody may do everything, and without `overload` the queue is never too deep: for tests and tools
    that serve nobody else. `reports` gives what the processes that live tell of their plugins. `dashboard` is the
    window at /ui, which needs a queue on MongoDB.
    """
    reception = Reception(
        queue=queue, table=table, config=config, clock=clock, events=events, guard=guard, overload=overload
    )
    return app_around(reception, reports=reports, parts=parts, dashboard=dashboard)


def app_around(
    reception: Reception,
    *,
    reports: Reports = tuple,
    parts: Callable[[], Sequence[Part]] | None = None,
    dashboard: Blueprint | None = None,
) -> Flask:
    """As `create_app`, for a reception that is there already."""
    queue, table, config, events = reception.queue, reception.table, reception.config, reception.events
    app = Flask("transqueue", static_folder=None, template_folder="api/templates")
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    waiters = Waiters(queue, limit=max(1, config.api.threads // 4))
    for path, view in reception.views.items():
        _route(app, "POST", path, partial(_by_flask, view))
    _route_transactions(app, Transactions(queue, table, waiters))
    _route_catalog(app, Catalog(table, queue, reports, parts or tuple, events), Pauses(queue, table))
    _route_health(app, Health(queue, table, config.default_type))
    _route(app, "GET", "/metrics", _late("metrics", lambda metrics: metrics.Metrics(queue, table.states, reports).show))
    _route_documentation(app, lambda openapi: openapi.OpenApi(table, config.default_type, events))
    if dashboard is not None:
        app.register_blueprint(dashboard)
    _around_each(app, reception)
    app.wsgi_app = Shortcut(app.wsgi_app, reception)  # type: ignore[method-assign]
    return app


def _by_flask(view: View) -> Response:
    return response(view(request.environ))


def _around_each(app: Flask, reception: Reception) -> None:
    """What happens before and after each view, and when it fails; `Shortcut` does the same."""

    def admit() -> None:
        rule = request.url_rule
        reception.doorkeeper.admit(request.environ, request.method, None if rule is None else rule.rule)

    def refuse(error: Exception) -> Response:
        if isinstance(error, HTTPException):
            return http_error(error)
        return response(reception.refusals.of(error, request.environ))

    app.before_request(lambda: begin(request.environ))
    app.before_request(admit)
    app.after_request(protected)
    app.after_request(lambda response: identified(response, request.environ))
    app.register_error_handler(Exception, refuse)


def _route_transactions(app: Flask, transactions: Transactions) -> None:
    _route(app, "GET", "/api/data/", transactions.list)
    _route(app, "GET", "/api/data/<transaction_id>", transactions.status)
    _route(app, "GET", "/api/data/<transaction_id>/explain", transactions.explain)
    _route(app, "POST", "/api/data/<transaction_id>/cancel", transactions.cancel)
    _route(app, "POST", "/api/data/<transaction_id>/retry", transactions.retry)


def _route_catalog(app: Flask, catalog: Catalog, pauses: Pauses) -> None:
    _route(app, "GET", "/api/types", catalog.types)
    _route(app, "GET", "/api/types/<type>", catalog.type)
    _route(app, "POST", "/api/types/<type>/pause", pauses.pause)
    _route(app, "POST", "/api/types/<type>/resume", pauses.resume)
    _route(app, "GET", "/api/plugins", catalog.plugins)


def _route_health(app: Flask, health: Health) -> None:
    _route(app, "GET", ALIVE, health.alive)
    _route(app, "GET", "/readyz", health.ready)
    _route(app, "GET", "/api/stats", health.stats)
    _route(app, "GET", "/api/workers", health.workers)


def _route_documentation(app: Flask, described: Callable[[ModuleType], Any]) -> None:
    openapi = cache(lambda: described(import_module(f"{__package__}.openapi")))
    _route(app, "GET", "/openapi.json", _late("openapi", lambda _: openapi().show))
    _route(app, "GET", "/docs", _late("docs", lambda docs: docs.Docs(openapi()).page))
    _route(app, "GET", "/docs/style.css", _late("docs", lambda docs: docs.Docs(openapi()).style))


def _late(module: str, view_of: Callable[[ModuleType], Callable[[], Any]]) -> Callable[[], Any]:
    """A view whose module is imported when it is first asked for: most processes are never asked, and it is slow."""
    view = cache(lambda: view_of(import_module(f"{__package__}.{module}")))

    def late() -> Any:
        return view()()

    return late


def _route(app: Flask, method: str, rule: str, view: Callable[..., Any]) -> None:
    app.add_url_rule(rule, endpoint=f"{method} {rule}".replace(".", "_"), view_func=view, methods=[method])
