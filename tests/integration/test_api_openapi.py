"""The description of the door: it names every route, takes what the door takes, and its page is safe to look at."""

from __future__ import annotations

import itertools
import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from marshmallow import EXCLUDE, INCLUDE, Schema, ValidationError, fields, validate
from openapi_spec_validator import validate as validate_document

from transqueue import Handler
from transqueue.api.app import create_app
from transqueue.api.gate import Gate
from transqueue.config import Config
from transqueue.errors import QueueUnavailable
from transqueue.events import Event, Events
from transqueue.plugins import PluginState
from transqueue.submission.fields import Number
from transqueue.testing import MemoryQueue, SettableClock

DOCUMENT = "https://door.example/openapi.json"
EXAMPLE_ID = "179535396754813836272"
HOSTILE = "</script><script>alert(1)</script><img src=//elsewhere/x onerror=alert(1)> `${{7*7}}`"


class Money(fields.Field[Any]):
    """A plugin's own field, which says what it is."""

    def __init__(self, **options: Any) -> None:
        super().__init__(metadata={"type": "number", "example": 5}, **options)

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        if isinstance(value, bool | str):
            raise ValidationError("Not a valid number.")
        return value


class Transfer(Schema):
    """Two accounts."""

    payer = fields.String(required=True, data_key="from", validate=validate.Length(1, 5))
    value = Money(required=True)


def order_of(named: str) -> type[Schema]:
    """An order whose lines have, in each plugin, the same class name and another shape."""
    line = type("Line", (Schema,), {named: fields.String(required=True)})
    return type("Order", (Schema,), {"lines": fields.Nested(line, many=True, required=True)})


class NestsItself(Schema):
    class Meta:
        unknown = INCLUDE

    children = fields.List(fields.Nested("NestsItself"))
    twin = fields.Nested("NestsItself")


class Line(Schema):
    name = fields.String(required=True)
    count = fields.Integer(strict=True)


class Odd(Schema):
    """Whatever apispec or JSON Schema could stumble over."""

    class Meta:
        unknown = EXCLUDE
        description = "With `words` of its own."

    year = fields.DateTime(format="%Y")
    code = fields.String(validate=validate.Regexp(r"[A-Z]{2}\Z"))
    loud = fields.String(validate=validate.Regexp("yes", flags=re.IGNORECASE))
    named = fields.String(validate=validate.Regexp(r"(?P<a>x)"))
    rate = Number(validate=validate.Range(0, 10))
    kind = fields.String(validate=validate.OneOf(["a", "b"]), load_default=None, allow_none=True)
    line = fields.Nested(Line, allow_none=True, metadata={"description": "One."})
    short = fields.Nested(Line, only=("name",))


def nothing(transaction: Any, context: Any) -> None:
    """Do nothing."""


def hostile(transaction: Any, context: Any) -> None: ...


hostile.__doc__ = HOSTILE

BASE = Handler(type="base", target=nothing, plugin="bank", version="2.0")
HANDLERS = (
    replace(BASE, type="transfer", schema=Transfer()),
    replace(BASE, type="any", target=hostile),
    replace(BASE, type="keyed", ordering_key="account"),
    replace(BASE, type="sell", schema=order_of("sold")(), plugin="seller"),
    replace(BASE, type="buy", schema=order_of("bought")(), plugin="buyer"),
    replace(BASE, type="node", schema=NestsItself()),
    replace(BASE, type="odd", schema=Odd()),
    replace(BASE, type="pay", schema=Transfer()),
    replace(BASE, type="pay.*"),
    replace(BASE, type="pay.bill", schema=Transfer()),
    replace(BASE, type="pay.rent.*", schema=Transfer()),
)


class Claims:
    """A table written down by hand."""

    def __init__(self, *handlers: Handler) -> None:
        self.handlers = {one.type: one for one in handlers}

    def resolve(self, type: str, /) -> Handler | None:
        families = sorted((claim for claim in self.handlers if claim.endswith(".*")), key=len, reverse=True)
        family = next((claim for claim in families if type.startswith(claim[:-1])), "")
        return self.handlers.get(type) or self.handlers.get(family)

    def types(self) -> Mapping[str, Handler]:
        return self.handlers

    def parked(self, type: str, /) -> str | None:
        return None

    def vetters(self):
        return ()

    def states(self) -> Sequence[PluginState]:
        return [PluginState(name="bank", state="ok", version="2.0", types=["transfer"])]


Make = Callable[..., Flask]


@pytest.fixture
def heard() -> list[Event]:
    return []


@pytest.fixture
def claims() -> Claims:
    return Claims(*HANDLERS)


@pytest.fixture
def queue() -> MemoryQueue:
    return MemoryQueue(clock=SettableClock())


@pytest.fixture
def app(claims: Claims, queue: MemoryQueue, heard: list[Event]) -> Flask:
    config, events = Config(default_type="any"), Events(heard.append)
    return create_app(queue=queue, table=claims, config=config, clock=queue.clock, events=events)


@pytest.fixture
def client(app: Flask) -> Iterator[FlaskClient]:
    with app.test_client() as client:
        yield client


def document(client: FlaskClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/openapi.json").json
    return found


def errors_of(described: dict[str, Any], schema: Mapping[str, Any], value: Any) -> list[str]:
    """What is wrong with a value, by a schema that refers to the document's components."""
    whole = {"$id": DOCUMENT, "components": described["components"], **schema}
    return [error.message for error in Draft202012Validator(whole).iter_errors(value)]


def ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def routes(app: Flask) -> set[tuple[str, str]]:
    """What the application answers; HEAD goes with each GET."""
    return {
        (method.lower(), re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD"}
    }


# The document


def test_every_route_and_method_is_described_and_nothing_else(app: Flask, client: FlaskClient) -> None:
    described = {(method, path) for path, methods in document(client)["paths"].items() for method in methods}
    assert ("post", "/api/data/") in routes(app)
    assert described == routes(app)


@pytest.mark.parametrize("handlers", [HANDLERS, HANDLERS[:1], ()], ids=["many types", "one type", "no type"])
def test_the_document_is_valid_openapi(client: FlaskClient, claims: Claims, handlers: Sequence[Handler]) -> None:
    claims.handlers = {one.type: one for one in handlers}
    described = document(client)
    assert described["openapi"].startswith("3.1.")
    validate_document(described)
    for schema in described["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_each_claimed_type_is_one_of_the_bodies(client: FlaskClient) -> None:
    schemas = document(client)["components"]["schemas"]
    named = [one["$ref"].rpartition("/")[2] for one in schemas["Submission"]["oneOf"]]
    assert named[0] == "Classic"
    assert sorted(schemas[name]["title"] for name in named[1:]) == sorted(one.type for one in HANDLERS)
    assert schemas["transfer.transaction"]["properties"]["type"] == {"const": "transfer"}


def test_the_names_in_two_plugins_never_clash(client: FlaskClient) -> None:
    schemas = document(client)["components"]["schemas"]
    assert set(schemas["sell.Line"]["properties"]) == {"sold"}
    assert set(schemas["buy.Line"]["properties"]) == {"bought"}


def test_a_field_of_a_plugins_own_is_what_it_says(client: FlaskClient) -> None:
    properties = document(client)["components"]["schemas"]["transfer.data"]["properties"]
    assert properties["value"]["type"] == "number"
    assert set(properties) == {"from", "value"}


def test_what_json_schema_would_read_differently_is_put_right_or_left_out(client: FlaskClient) -> None:
    schemas = document(client)["components"]["schemas"]
    odd = schemas["odd.data"]
    assert odd["properties"]["code"] == {"type": "string", "pattern": "^(?:[A-Z]{2}$)"}
    assert odd["properties"]["loud"] == odd["properties"]["named"] == odd["properties"]["year"] == {"type": "string"}
    assert odd["properties"]["rate"] == {"type": "number", "minimum": 0, "maximum": 10}
    assert odd["properties"]["kind"]["type"] == ["string", "null"]
    assert (odd["additionalProperties"], schemas["odd.Line"]["additionalProperties"]) == (True, False)
    assert set(schemas["odd.Line2"]["properties"]) == {"name"}


def test_a_schema_beyond_description_takes_any_object_and_spoils_no_other(
    client: FlaskClient, claims: Claims, heard: list[Event]
) -> None:
    class Broken(fields.String):
        metadata = property(lambda self: 1 / 0, lambda self, value: None)  # type: ignore[assignment]

    class Unwritable(Schema):
        value = fields.String(metadata={"example": {("a", "b"): 1}})

    broken = type("Bad", (Schema,), {"value": Broken()})
    claims.handlers |= {
        "broken": replace(BASE, type="broken", schema=broken()),
        "unwritable": replace(BASE, type="unwritable", schema=Unwritable()),
    }
    described = document(client)
    validate_document(described)
    schemas = described["components"]["schemas"]
    assert schemas["broken.data"] == schemas["unwritable.data"] == {"type": "object"}
    assert "from" in schemas["transfer.data"]["properties"]
    assert [(event.name, event.facts["type"]) for event in heard] == [
        ("handler.failed", "broken"),
        ("handler.failed", "unwritable"),
    ]
    listed = {one["type"]: one for one in client.get("/api/types").json["data"]["types"]}
    assert listed["broken"]["schema"] == listed["unwritable"]["schema"] == {"type": "object"}
    assert client.get("/docs").status_code == 200


def test_a_schema_that_nests_itself_is_described_and_its_example_ends(client: FlaskClient) -> None:
    schemas = document(client)["components"]["schemas"]
    assert schemas["node.data"]["properties"]["twin"] == ref("node.NestsItself")
    assert client.get("/docs").status_code == 200
    assert client.get("/api/types").status_code == 200


def test_it_is_made_again_only_when_the_claims_have_changed(
    client: FlaskClient, claims: Claims, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = client.get("/openapi.json").data
    with monkeypatch.context() as patch:
        patch.setattr("transqueue.api.openapi.bodies", lambda *_: pytest.fail("made again"))
        assert client.get("/openapi.json").data == first
    del claims.handlers["sell"]
    assert b"sell.Line" in first
    assert b"sell.Line" not in client.get("/openapi.json").data


# What it says of bodies and answers is so

GOOD = {"from": "ann", "value": 5}
DUE = "2030-01-01T08:00:00Z"
BODIES: dict[str, tuple[Any, int]] = {
    "classic": ({"username": "ann", "value": 5}, 200),
    "classic without value": ({"username": "ann"}, 400),
    "classic with more": ({"username": "ann", "value": 5, "more": 1}, 400),
    "typed": ({"type": "transfer", "data": GOOD}, 200),
    "wrong data": ({"type": "transfer", "data": {"from": "ann", "value": "5"}}, 400),
    "data too long": ({"type": "transfer", "data": {**GOOD, "from": "annabel"}}, 400),
    "unknown key": ({"type": "transfer", "data": GOOD, "priority": 1}, 400),
    "unknown key in data": ({"type": "transfer", "data": {**GOOD, "x": 1}}, 400),
    "no data": ({"type": "transfer"}, 400),
    "data no object": ({"type": "any", "data": []}, 400),
    "unclaimed": ({"type": "nothing", "data": {}}, 400),
    "the family itself": ({"type": "pay.*", "data": {}}, 400),
    "one of the family": ({"type": "pay.cash", "data": {"any": 1}}, 200),
    "deep in the family": ({"type": "pay.cash.now", "data": {}}, 200),
    "an exact claim in a family": ({"type": "pay.bill", "data": GOOD}, 200),
    "an exact claim, by the family's schema": ({"type": "pay.bill", "data": {}}, 400),
    "a narrower family": ({"type": "pay.rent.may", "data": GOOD}, 200),
    "a narrower family, by the wider one's schema": ({"type": "pay.rent.may", "data": {}}, 400),
    "delayed": ({"type": "any", "data": {}, "options": {"delay_seconds": 1.5, "priority": 10}}, 200),
    "at a time": ({"type": "any", "data": {}, "options": {"run_at": DUE}}, 200),
    "delayed twice": ({"type": "any", "data": {}, "options": {"run_at": DUE, "delay_seconds": 1}}, 400),
    "priority too high": ({"type": "any", "data": {}, "options": {"priority": 11}}, 400),
    "delay too small": ({"type": "any", "data": {}, "options": {"delay_seconds": -1}}, 400),
    "unknown option": ({"type": "any", "data": {}, "options": {"soon": True}}, 400),
    "in order": ({"type": "keyed", "data": {"account": "a"}, "options": {}}, 200),
    "in order, without its key": ({"type": "keyed", "data": {}}, 400),
    "in order, delayed": ({"type": "keyed", "data": {"account": "a"}, "options": {"delay_seconds": 1}}, 400),
    "a list": ([], 400),
}


@pytest.mark.parametrize(("body", "status"), BODIES.values(), ids=BODIES)
def test_a_body_fits_the_document_exactly_when_the_door_takes_it(client: FlaskClient, body: Any, status: int) -> None:
    described = document(client)
    assert client.post("/api/data/", json=body).status_code == status
    well = not errors_of(described, ref("Submission"), body)
    assert well is (status == 200)
    in_batch = {"transactions": [body]}
    assert well is not bool(errors_of(described, ref("Batch"), in_batch))
    (result,) = client.post("/api/data/batch", json=in_batch).json["data"]["results"]
    assert result["status"] == ("success" if status == 200 else "error")


@pytest.mark.parametrize("key", ["k", "a" * 255, '"quoted"', r'"with\"in"', "!#~", "[]"])
def test_a_key_that_the_document_takes_is_taken(client: FlaskClient, key: str) -> None:
    schema = document(client)["components"]["parameters"]["IdempotencyKey"]["schema"]
    assert re.search(schema["pattern"], key)
    body = {"type": "any", "data": {}}
    assert client.post("/api/data/", json=body, headers={"Idempotency-Key": key}).status_code == 200


@pytest.mark.parametrize("key", ["", "a" * 256, "two words", 'a"b', '"', '""', "k\u00e9y"])
def test_a_key_that_the_document_does_not_take_is_refused(client: FlaskClient, key: str) -> None:
    schema = document(client)["components"]["parameters"]["IdempotencyKey"]["schema"]
    assert not re.search(schema["pattern"], key)
    response = client.post("/api/data/", json={"type": "any", "data": {}}, headers={"Idempotency-Key": key})
    assert (response.status_code, response.json["code"]) == (400, "invalid_idempotency_key")


def closed(schema: Any) -> Any:
    """The schema with every object of named keys closed, so that a key which it does not name is found."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    inside = {name: closed(value) for name, value in schema.items()}
    named = isinstance(schema.get("properties"), dict) and schema.get("type") == "object"
    return {"additionalProperties": False, **inside} if named else inside


def answer_errors(described: dict[str, Any], method: str, path: str, response: Any) -> list[str]:
    """What is wrong with an answer, by what the document says of its route."""
    found = described["paths"][path][method]["responses"].get(str(response.status_code))
    if found is None:
        return [f"{response.status_code} is not described"]
    if "$ref" in found:
        found = described["components"]["responses"][found["$ref"].rpartition("/")[2]]
    required = [name for name, one in found.get("headers", {}).items() if one.get("required")]
    missing = [name for name in required if name not in response.headers]
    if response.mimetype not in found["content"]:
        return [f"{response.mimetype} is not described", *missing]
    value = response.json if response.is_json else response.text
    return missing + errors_of(described, found["content"][response.mimetype]["schema"], value)


def exchanges(client: FlaskClient, queue: MemoryQueue) -> Iterator[tuple[int, str, str, Any]]:
    """Requests that meet every answer that the routes of this application can give here."""
    post = client.post
    typed, plain = {"type": "any", "data": {"a": [1, None]}}, {"Content-Type": "text/plain"}
    key = {"Idempotency-Key": "k"}
    identity = post("/api/data/", json=typed).json["data"]["transaction_id"]
    one, single = "/api/data/{transaction_id}", "/api/data/"
    yield 200, "post", single, post(single, json=typed, headers=key)
    yield 200, "post", single, post(single, json=typed, headers=key)
    yield 422, "post", single, post(single, json={**typed, "data": {}}, headers=key)
    yield 400, "post", single, post(single, json={"username": 1})
    yield 400, "post", single, post(single, json={"type": "transfer", "data": {}})
    yield 400, "post", single, post(single, data=b'{"type": 1', content_type="application/json")
    yield 411, "post", single, client.post(single, content_type="application/json", headers={"Transfer-Encoding": "x"})
    yield 413, "post", single, post(single, data=b" " * 300_000, content_type="application/json")
    yield 415, "post", single, post(single, data=b"{}", headers=plain)
    batch = "/api/data/batch"
    items = [typed, {**typed, "idempotency_key": "k"}, {"type": "x", "data": {}}, {"username": 1}, typed]
    yield 200, "post", batch, post(batch, json={"transactions": items}, headers={"Idempotency-Key": "b"})
    yield 200, "post", batch, post(batch, json={"transactions": items}, headers={"Idempotency-Key": "b"})
    yield 200, "post", batch, post(batch, data=json.dumps(typed).encode(), content_type="application/x-ndjson")
    yield 400, "post", batch, post(batch, json={"transactions": 1})
    yield 413, "post", batch, post(batch, data=b" " * 5_000_000, content_type="application/json")
    yield 415, "post", batch, post(batch, data=b"{}", headers=plain)
    yield 200, "get", one, client.get(f"/api/data/{identity}?wait=0")
    yield 400, "get", one, client.get(f"/api/data/{identity}?wait=x")
    yield 404, "get", one, client.get("/api/data/1")
    yield 200, "get", single, client.get("/api/data/?limit=2")
    yield 400, "get", single, client.get("/api/data/?limit=x")
    yield 200, "get", f"{one}/explain", client.get(f"/api/data/{identity}/explain")
    yield 404, "get", f"{one}/explain", client.get("/api/data/1/explain")
    yield 409, "post", f"{one}/retry", post(f"/api/data/{identity}/retry")
    yield 200, "post", f"{one}/cancel", post(f"/api/data/{identity}/cancel")
    yield 409, "post", f"{one}/cancel", post(f"/api/data/{identity}/cancel")
    yield 404, "post", f"{one}/retry", post("/api/data/1/retry")
    yield 200, "get", one, client.get(f"/api/data/{identity}")
    for path in ("/api/types", "/api/plugins", "/api/workers", "/api/stats", "/healthz", "/readyz"):
        yield 200, "get", path, client.get(path)
    for path in ("/openapi.json", "/docs", "/docs/style.css"):
        yield 200, "get", path, client.get(path)
    yield 200, "get", "/api/types/{type}", client.get("/api/types/transfer")
    yield 404, "get", "/api/types/{type}", client.get("/api/types/nothing")
    pause, resume = "/api/types/{type}/pause", "/api/types/{type}/resume"
    yield 200, "post", pause, post("/api/types/transfer/pause?reason=why")
    yield 409, "post", pause, post("/api/types/transfer/pause")
    yield 404, "post", pause, post("/api/types/nothing/pause")
    yield 400, "post", pause, post("/api/types/transfer/pause?because=x")
    for path in ("/api/types", "/api/stats"):
        yield 200, "get", path, client.get(path)
    yield 200, "get", "/api/types/{type}", client.get("/api/types/transfer")
    yield 200, "post", resume, post("/api/types/transfer/resume")
    yield 409, "post", resume, post("/api/types/transfer/resume")
    yield 200, "get", "/metrics", client.get("/metrics")


def test_every_answer_is_as_described_with_no_key_more(client: FlaskClient, queue: MemoryQueue, app: Flask) -> None:
    described = closed(document(client))
    met = set()
    for status, method, path, response in exchanges(client, queue):
        assert response.status_code == status, (method, path, response.text)
        assert answer_errors(described, method, path, response) == [], (method, path, response.text)
        met.add((method, path))
    assert met == routes(app)


def test_an_answer_while_the_database_is_away_is_as_described(
    client: FlaskClient, queue: MemoryQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any, **__: Any) -> Any:
        raise QueueUnavailable

    for verb in ("enqueue", "get", "page", "counts", "workers"):
        monkeypatch.setattr(queue, verb, away)
    described = document(client)
    sent = {"json": {"type": "any", "data": {}}}
    for method, path, more in (
        ("post", "/api/data/", sent),
        ("get", "/api/data/", {}),
        ("get", "/api/stats", {}),
        ("get", "/api/workers", {}),
        ("get", "/readyz", {}),
    ):
        response = client.open(path, method=method.upper(), **more)
        assert response.status_code == 503
        assert answer_errors(described, method, path, response) == []


# Protection


def assert_protected(response: Any) -> None:
    assert response.headers.getlist("X-Content-Type-Options") == ["nosniff"]
    assert response.headers.getlist("Referrer-Policy") == ["no-referrer"]
    assert response.headers.getlist("Cache-Control") == ["no-store"]
    (policy,) = response.headers.getlist("Content-Security-Policy")
    rules = [rule.strip() for rule in policy.split(";")]
    assert {"default-src 'none'", "frame-ancestors 'none'"} <= set(rules)
    if response.mimetype == "text/html":
        assert {"script-src 'none'", "style-src 'self'", "base-uri 'none'", "form-action 'none'"} <= set(rules)
    else:
        assert len(rules) == 2
    assert "unsafe" not in policy
    assert "*" not in policy
    assert "http" not in policy


def test_every_answer_of_every_route_is_protected(app: Flask, client: FlaskClient) -> None:
    asked = [*routes(app), ("get", "/nowhere"), ("brew", "/api/data/"), ("delete", "/docs")]
    for method, path in asked:
        response = client.open(re.sub(r"{\w+}", "1", path), method=method.upper())
        assert_protected(response)
        assert_protected(client.head(path))


def test_an_answer_to_a_failure_inside_is_protected(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transqueue.api.docs.render_template", lambda *_, **__: 1 / 0)
    response = client.get("/docs")
    assert response.status_code == 503
    assert_protected(response)


def test_an_answer_at_the_gate_is_protected(app: Flask) -> None:
    gate = Gate(app.wsgi_app, slots=1, readers=8, wait_seconds=0.01)
    assert gate._slots.take()
    app.wsgi_app = gate  # type: ignore[method-assign]
    response = app.test_client().get("/docs")
    assert (response.status_code, response.json["code"]) == (503, "busy")
    assert_protected(response)


# The page


class Page(HTMLParser):
    """What there is on a page: tags with their attributes, ids, and the text of each `pre`."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.pre: list[str] = []
        self._inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "pre":
            self.pre.append("")
            self._inside = True

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "pre"

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.pre[-1] += data

    def values(self, name: str) -> list[str]:
        return [attributes[name] or "" for _, attributes in self.tags if name in attributes]


@pytest.fixture
def page(client: FlaskClient) -> Page:
    return Page(client.get("/docs").get_data(as_text=True))


def test_the_page_shows_every_route_and_type(client: FlaskClient, app: Flask, page: Page) -> None:
    text = client.get("/docs").get_data(as_text=True)
    for method, path in routes(app):
        assert f"{method.upper()}</span> <code>{path}</code>" in text
    for handler in HANDLERS:
        assert f"<code>{handler.type}</code>" in text
    assert text.count("<table>") > len(HANDLERS)


def test_the_page_runs_nothing_and_loads_nothing_but_its_style(page: Page) -> None:
    used = {tag for tag, _ in page.tags}
    assert used & {"script", "style", "img", "iframe", "object", "embed", "form", "base", "svg"} == set()
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on") or name == "style"]
    loaded = [attributes["href"] for tag, attributes in page.tags if tag == "link"]
    assert loaded == ["/docs/style.css"]
    assert all(link.startswith("#") or link == "/openapi.json" for link in page.values("href") if link not in loaded)


def test_the_style_loads_nothing(client: FlaskClient) -> None:
    response = client.get("/docs/style.css")
    assert response.mimetype == "text/css"
    assert "prefers-color-scheme: dark" in response.text
    assert not re.search(r"url\(|@import|https?:", response.text)


def test_what_a_plugin_says_is_text_and_nothing_else(client: FlaskClient) -> None:
    text = client.get("/docs").get_data(as_text=True)
    assert "alert(1)" in text
    assert "&lt;script&gt;alert(1)" in text
    assert "{{7*7}}" in text


def test_every_link_within_the_page_leads_somewhere_and_no_mark_is_there_twice(page: Page) -> None:
    marks = page.values("id")
    assert len(marks) == len(set(marks))
    links = [link[1:] for link in page.values("href") if link.startswith("#")]
    assert links
    assert set(links) <= set(marks)


def test_a_schema_that_is_none_has_no_table_and_spoils_no_other(client: FlaskClient, claims: Claims) -> None:
    strange = {"properties": "x", "description": 5, "type": 7}
    schema = type("Strange", (Schema,), {"value": fields.String(metadata=strange)})
    claims.handlers["strange"] = replace(BASE, type="strange", schema=schema())
    text = client.get("/docs").get_data(as_text=True)
    assert 'id="type-strange"' in text
    assert "data of transfer" in text
    assert "data of strange" not in text


def test_nested_fields_are_shown_by_dotted_names(client: FlaskClient) -> None:
    text = client.get("/docs").get_data(as_text=True)
    for name in ("lines[].sold", "line.count", "twin.children", "data.transaction_id"):
        assert f"<code>{name}</code>" in text
    assert "twin.twin.twin" not in text


def test_each_command_on_the_page_is_answered_as_it_should(client: FlaskClient, page: Page) -> None:
    commands = [shlex.split(text) for text in page.pre if text.startswith("curl ")]
    assert len(commands) > len(HANDLERS)
    answers = {shlex.join(words): run(client, words) for words in commands}
    assert {command: status for command, status in answers.items() if status != 200 and EXAMPLE_ID not in command} == {}
    assert {status for command, status in answers.items() if EXAMPLE_ID in command} == {404}


def run(client: FlaskClient, words: Sequence[str]) -> int:
    url = next(word for word in words if word.startswith("http"))
    given = dict(itertools.pairwise(words))
    body = given.get("-d")
    method = "POST" if body or given.get("-X") == "POST" else "GET"
    headers = dict([given["-H"].split(": ")]) if "-H" in given else {}
    return client.open(urlsplit(url).path, method=method, data=body, headers=headers).status_code


@pytest.mark.parametrize("host", ["door.example:8000", "[::1]:80", "a b", "x'; rm -rf ~; '", "<script>", "\u00e9", ""])
def test_a_hosts_name_can_put_nothing_into_the_page(client: FlaskClient, host: str) -> None:
    response = client.get("/docs", headers={"Host": host})
    assert response.status_code == 200
    assert "<script>" not in response.text
    for text in Page(response.text).pre:
        if text.startswith("curl "):
            assert shlex.split(text)[0] == "curl"
            assert "rm" not in shlex.split(text)
