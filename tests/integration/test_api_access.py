"""API keys at the door: every route with every scope, what a submitter sees, and how a request is refused."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from transqueue import Handler
from transqueue.access import Access, Guard, Keyring, Scope, Strangers
from transqueue.api.answers import PROTECTION
from transqueue.api.app import create_app
from transqueue.api.gate import Gate
from transqueue.api.needs import NEEDS, OPEN, needed
from transqueue.config import ApiConfig, Config
from transqueue.errors import QueueUnavailable
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


def test_the_description_names_the_scopes_of_every_route_as_the_table_does(mongo_queue: MongoQueue) -> None:
    document = door(mongo_queue).test_client().get("/openapi.json").json
    assert document["components"]["securitySchemes"]["ApiKey"]["scheme"] == "bearer"
    described = {
        f"{method.upper()} {path.replace('{', '<').replace('}', '>')}": frozenset(
            scope for one in operation["security"] for scope in one.get("ApiKey", ())
        )
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert described == NEEDS


# What a submitter sees


def submitted(client: FlaskClient, body: Any = ANN, **headers: str) -> str:
    """The id of what was accepted."""
    answer = client.post("/api/data/", json=body, headers={name.replace("_", "-"): headers[name] for name in headers})
    assert answer.status_code == 200, answer.json
    return str(answer.json["data"]["transaction_id"])


def test_a_submitter_sees_its_own_transactions_and_others_do_not_exist_for_it(make: Make) -> None:
    ann, bob, reader = make(Scope.SUBMIT), make(Scope.SUBMIT, submitter="bob"), make(Scope.READ, submitter="eve")
    of_ann, of_bob = submitted(ann), submitted(bob)
    for client, seen in ((ann, [of_ann]), (bob, [of_bob]), (reader, [of_bob, of_ann])):
        listed = client.get("/api/data/").json["data"]
        assert sorted(one["transaction_id"] for one in listed) == sorted(seen)
        for id in (of_ann, of_bob):
            answer = client.get(f"/api/data/{id}")
            assert answer.status_code == (200 if id in seen else 404)
            if id not in seen:
                assert answer.json == client.get(f"/api/data/{NO_ID}").json


def test_keys_of_one_submitter_share_its_transactions_and_its_idempotency_keys(make: Make) -> None:
    first, second, other = make(Scope.SUBMIT), make(Scope.SUBMIT), make(Scope.SUBMIT, submitter="bob")
    one = submitted(first, Idempotency_Key="order-1")
    assert submitted(second, Idempotency_Key="order-1") == one
    assert submitted(other, Idempotency_Key="order-1") != one
    assert second.get(f"/api/data/{one}").status_code == 200


def test_who_operates_may_cancel_what_anybody_submitted_and_who_submits_not_even_its_own(make: Make) -> None:
    ann, operator = make(Scope.SUBMIT), make(Scope.OPERATE, submitter="ops")
    id = submitted(ann)
    assert ann.post(f"/api/data/{id}/cancel").status_code == 403
    assert operator.post(f"/api/data/{id}/cancel").json["data"]["state"] == "cancelled"


def test_a_key_for_some_types_submits_those_alone_also_in_a_batch_and_by_the_classic_body(make: Make) -> None:
    client = make(Scope.SUBMIT, types=["invoice.*", "note"])
    wrong: list[Any] = [{"type": "deposit", "data": {}}, ANN, {"type": "invoice", "data": {}}]
    right: list[Any] = [{"type": "invoice.pay", "data": {}}, {"type": "note", "data": {}}]
    for body in wrong:
        answer = client.post("/api/data/", json=body)
        assert (answer.status_code, answer.json["code"]) == (403, "type_not_allowed")
    for body in right:
        submitted(client, body)
    answer = client.post("/api/data/batch", json={"transactions": [*wrong, *right]})
    assert [one["status"] for one in answer.json["data"]["results"]] == ["error"] * 3 + ["success"] * 2
    assert {one["code"] for one in answer.json["data"]["results"][:3]} == {"type_not_allowed"}


# How a request is refused


@pytest.mark.parametrize(
    "shown",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer x",
        "Basic dXNlcjpwYXNz",
        "Token {key}",
        "{key}",
        "Bearer {key}x",
        "Bearer é",
    ],
)
def test_what_shows_no_key_is_401_with_the_challenge_and_the_cure(make: Make, shown: str | None) -> None:
    client = make(Scope.ADMIN)
    key = client.environ_base.pop("HTTP_AUTHORIZATION").removeprefix("Bearer ")
    headers = {} if shown is None else {"Authorization": shown.replace("{key}", key)}
    answer = client.get("/api/data/", headers=headers)
    assert (answer.status_code, answer.json["code"]) == (401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="transqueue"'
    assert key not in answer.text


def test_the_scheme_is_read_in_any_case_and_blanks_around_the_key_do_not_matter(make: Make) -> None:
    client = make(Scope.READ)
    key = client.environ_base.pop("HTTP_AUTHORIZATION").removeprefix("Bearer ")
    for shown in (f"bearer {key}", f"BEARER   {key} "):
        assert client.get("/api/data/", headers={"Authorization": shown}).status_code == 200


def test_many_wrong_keys_from_one_address_are_told_to_wait_and_a_good_one_still_passes(make: Make) -> None:
    client = make(Scope.READ)
    wrong = {"Authorization": "Bearer tq_000000000000_" + "0" * 64}
    answers = [client.get("/api/data/", headers=wrong) for _ in range(12)]
    assert [one.status_code for one in answers] == [401] * 10 + [429] * 2
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert client.get("/api/data/", headers=wrong, environ_base={"REMOTE_ADDR": "192.0.2.1"}).status_code == 401
    assert client.get("/api/data/").status_code == 200


def test_a_key_revoked_elsewhere_is_refused_within_five_seconds(
    make: Make, mongo_queue: MongoQueue, wait_until: Callable[..., Any]
) -> None:
    client = make(Scope.READ)
    assert client.get("/api/data/").status_code == 200
    (key,) = mongo_queue.api_keys.all()
    mongo_queue.api_keys.revoke(key.id)
    began = time.monotonic()
    wait_until(lambda: client.get("/api/data/").status_code == 401, timeout=5, message="the revoked key is refused")
    print(f"a revoked key was refused after {time.monotonic() - began:.1f} s")


def test_while_the_keys_cannot_be_looked_up_nobody_is_let_in(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    client = make(Scope.ADMIN)

    def away() -> Any:
        raise QueueUnavailable

    monkeypatch.setattr("transqueue.mongodb.api_keys.ApiKeys.all", lambda _: away())
    answer = client.get("/api/types")
    assert (answer.status_code, answer.json["code"]) == (503, "unavailable")
    assert "Retry-After" in answer.headers
    assert client.get("/healthz").status_code == 200


# Without keys


def test_without_keys_this_machine_may_do_everything_and_is_the_submitter_local(
    make: Make, mongo_queue: MongoQueue
) -> None:
    client = make()
    assert all(passes(client, method, rule) for method, rule in routes(client.application))
    transaction = mongo_queue.get(submitted(client))
    assert transaction is not None
    assert transaction.submitter == "local"


def test_where_others_can_reach_the_door_a_key_is_wanted_though_there_is_none(make: Make) -> None:
    assert make(host="0.0.0.0").get("/api/data/").status_code == 401


@pytest.mark.parametrize("header", ["Forwarded", "X-Forwarded-For", "X-Real-IP"])
def test_without_keys_what_a_proxy_passes_on_is_not_taken_for_this_machine(make: Make, header: str) -> None:
    assert make().get("/api/data/", headers={header: "for=192.0.2.1"}).status_code == 401
    assert make(Scope.READ).get("/api/data/", headers={header: "for=192.0.2.1"}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost"}, 404),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"}, 404),
        ({"Sec-Fetch-Site": "none"}, 404),
    ],
)
def test_without_keys_no_page_of_another_site_makes_a_browser_do_anything(
    make: Make, headers: dict[str, str], status: int
) -> None:
    assert make().post(f"/api/data/{NO_ID}/cancel", headers=headers).status_code == status


# Every answer


def test_every_answer_has_the_headers_that_protect_it(make: Make, mongo_queue: MongoQueue) -> None:
    app = door(mongo_queue)
    app.add_url_rule("/broken", view_func=lambda: 1 / 0)
    full = Gate(app, slots=1, readers=8, wait_seconds=0.01)
    for client in (make(), make(Scope.SUBMIT), app.test_client()):
        for method, path in [
            *routes(client.application),
            ("GET", "/nowhere"),
            ("BREW", "/api/data/"),
            ("GET", "/broken"),
        ]:
            answer = client.open(path, method=method)
            assert set(PROTECTION) <= set(answer.headers.keys()), f"{method} {path}"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert full._slots.take()
    headers: list[tuple[str, str]] = []
    full({"PATH_INFO": "/readyz", "REQUEST_METHOD": "GET"}, lambda status, given, *_: headers.extend(given))
    assert set(PROTECTION) <= {name for name, _ in headers}
