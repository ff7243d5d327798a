"""API keys at the door: every route with every scope, what a submitter sees, and how a request is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from transqueue import Handler
from transqueue.access import Access, Guard, Keyring, Scope, Strangers
from transqueue.api import create_app
from transqueue.api.needs import NEEDS, OPEN, needed
from transqueue.config import ApiConfig, Config
from transqueue.events import Events
from transqueue.mongodb import MongoQueue
from transqueue.plugins import PluginState

NO_ID = "1" * 21
ANN = {"username": "ann", "value": 5}


def nothing(transaction: Any, context: Any) -> None:
    """Do nothing."""


HANDLERS = {
    type: Handler(type=type, target=nothing, plugin="bank", version="1") for type in ("deposit", "invoice.*", "note")
}


class Claims:
    """A table written down by hand."""

    def resolve(self, type: str, /) -> Handler | None:
        return HANDLERS.get("invoice.*" if type.startswith("invoice.") else type)

    def types(self) -> Any:
        return HANDLERS

    def parked(self, type: str, /) -> str | None:
        return None

    def vetters(self):
        return ()

    def states(self) -> Any:
        return [PluginState(name="bank", state="ok", version="1", types=[*HANDLERS])]


Make = Callable[..., FlaskClient]


@pytest.fixture
def make(mongo_queue: MongoQueue) -> Iterator[Make]:
    """The function `make(*scopes, submitter="ann", types=None, host="127.0.0.1")`: a client with a new key."""

    def made(*scopes: Scope, submitter: str = "ann", types: Any = None, host: str = "127.0.0.1") -> FlaskClient:
        client = door(mongo_queue, host).test_client()
        if scopes:
            text = mongo_queue.api_keys.create(submitter, scopes, types=types).text
            client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {text}"
        return client

    return made


def door(queue: MongoQueue, host: str = "127.0.0.1") -> Flask:
    config = Config(api=ApiConfig(host=host))
    keyring, strangers = Keyring(queue.api_keys, queue.clock), Strangers(Events(), None)
    guard = Guard(keyring, strangers, loopback=config.api.loopback)
    return create_app(queue=queue, table=Claims(), config=config, clock=queue.clock, events=Events(), guard=guard)


def routes(app: Flask) -> list[tuple[str, str]]:
    """Every method and rule that the application answers."""
    return [(method, rule.rule) for rule in app.url_map.iter_rules() for method in sorted(rule.methods or ())]


def passes(client: FlaskClient, method: str, rule: str) -> bool:
    """Whether the doorkeeper lets a request through; what the view then says is its own business."""
    path = rule.replace("<transaction_id>", NO_ID).replace("<type>", "deposit")
    answer = client.open(re.sub("<.*?>", "any", path), method=method, json={} if method == "POST" else None)
    assert (answer.status_code == 401) == ("WWW-Authenticate" in answer.headers)
    return answer.status_code not in (401, 403)


# Every route with every scope


def test_every_route_has_a_line_in_the_table_and_every_line_a_route(mongo_queue: MongoQueue) -> None:
    asked = {f"{method} {rule}" for method, rule in routes(door(mongo_queue)) if method != "HEAD"}
    assert asked == set(NEEDS)


@pytest.mark.parametrize("scope", Scope)
def test_a_route_lets_a_key_through_exactly_when_it_has_a_scope_that_the_table_names(make: Make, scope: Scope) -> None:
    client = make(scope)
    access = Access("ann", "", frozenset({scope}))
    for method, rule in routes(client.application):
        need = needed(method, rule)
        allowed = need == OPEN or any(access.allows(one) for one in need)
        assert passes(client, method, rule) is allowed, f"{scope}: {method} {rule}"


def test_without_a_key_only_what_is_open_is_answered(make: Make) -> None:
    make(Scope.READ)
    client = make()
    for method, rule in routes(client.application):
        need = needed(method, rule)
        assert passes(client, method, rule) is (need == OPEN), f"{method} {rule}"


def test_a_route_that_nobody_gave_a_line_is_refused_to_everybody(mongo_queue: MongoQueue, make: Make) -> None:
    app = door(mongo_queue)
    app.add_url_rule("/forgotten", view_func=lambda: "seen")
    assert app.test_client().get("/forgotten").status_code == 403
    text = mongo_queue.api_keys.create("ann", [Scope.ADMIN]).text
    assert app.test_client().get("/forgotten", headers={"Authorization": f"Bearer {text}"}).status_code == 403
