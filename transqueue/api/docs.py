"""GET /docs: the description of the door for people, as one page without scripts.

It is made from the document of `openapi` alone, so that the two cannot differ, and from files in the package. Nothing
on the page may load or run anything but its own style.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any

import simplejson
from flask import Response, render_template, request

from .. import __version__
from ..handlers import Handler
from ..submission import write_json
from .answers import JSON
from .bodies import DATA, TRANSACTION, example_type, part_of
from .openapi import Document, OpenApi
from .operations import CSS, GROUPS, HTML
from .rows import Row, kind, outline, rows
from .shapes import SHAPES

POLICY = (
    "default-src 'none'; script-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
NOWHERE = "http://127.0.0.1:5000"  # shown to those who do not say where they found this

_CLASSIC = {"username": "user123", "value": 150.0}
_SENT: Mapping[tuple[str, str], Any] = {
    ("post", "/api/data/"): _CLASSIC,
    ("post", "/api/data/batch"): {"transactions": [_CLASSIC]},
}
_UNMARKED = re.compile(r"[^A-Za-z0-9]+")
_SHAPE = re.compile(rf"\b({'|'.join(SHAPES)})\b")  # splits into words and, at every second place, a shape's name
_PARAMETERS = "#/components/parameters/"
_ANSWERS = "#/components/responses/"


@dataclass(frozen=True, slots=True)
class Answer:
    """One status that a route may answer."""

    status: str
    words: str
    outline: str
    headers: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One route and method, as it is shown."""

    mark: str
    method: str
    path: str
    group: str
    summary: str
    words: str
    parameters: Sequence[Row]
    bodies: Sequence[tuple[str, str]]
    answers: Sequence[Answer]
    curl: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedType:
    """One type or family, as it is shown."""

    mark: str
    handler: Handler
    words: str
    fields: Sequence[Row]
    is_open: bool
    example: str
    curl: str


@dataclass(frozen=True, slots=True)
class Table:
    """One named schema, as it is shown."""

    mark: str
    name: str
    words: str
    fields: Sequence[Row]


class Docs:
    """Shows the door."""

    def __init__(self, openapi: OpenApi) -> None:
        self._openapi = openapi
        self._style = files("transqueue.api").joinpath("static", "style.css").read_text()

    def page(self) -> Response:
        """Everything on one page."""
        document, root = self._openapi.document(), request.host_url.rstrip("/") if request.host else NOWHERE
        shown = render_template(
            "docs.html",
            version=__version__,
            words=document.content["info"]["description"].split("\n\n"),
            types=[_type(handler, document, root) for handler in document.claims.values()],
            groups={group: [one for one in _routes(document, root) if one.group == group] for group in GROUPS},
            bodies=[_table(name, document) for name in ("Classic", "Options")],
            shapes=[_table(name, document) for name in SHAPES],
            named=_SHAPE.split,
        )
        return Response(shown, content_type=f"{HTML}; charset=utf-8", headers={"Content-Security-Policy": POLICY})

    def style(self) -> Response:
        """How the page looks."""
        return Response(self._style, content_type=f"{CSS}; charset=utf-8")


def mark(text: str) -> str:
    """The fragment by which a link leads to something."""
    return _UNMARKED.sub("-", text).strip("-").lower()


def _routes(document: Document, root: str) -> Iterator[Route]:
    for path, methods in document.content["paths"].items():
        for method, operation in methods.items():
            yield _route(path, method, operation, document, root)


def _route(path: str, method: str, operation: Mapping[str, Any], document: Document, root: str) -> Route:
    components = document.content["components"]
    parameters = [_parameter(one, components) for one in operation.get("parameters", ())]
    body = operation.get("requestBody", {}).get("content", {})
    return Route(
        mark=mark(f"{method} {path}"),
        method=method.upper(),
        path=path,
        group=operation["tags"][0],
        summary=operation["summary"],
        words=operation.get("description", ""),
        parameters=parameters,
        bodies=[(media, kind(one["schema"], components["schemas"])) for media, one in body.items()],
        answers=[_answer(status, one, components) for status, one in operation["responses"].items()],
        curl=_curl(method, f"{root}{_filled(path, parameters, document)}", _SENT.get((method, path))),
    )


def _parameter(given: Mapping[str, Any], components: Mapping[str, Any]) -> Row:
    found = components["parameters"][given["$ref"].removeprefix(_PARAMETERS)] if "$ref" in given else given
    field = {**found["schema"], "description": found.get("description", "")}
    required = [found["name"]] if found.get("required") else []
    (row,) = rows({"properties": {found["name"]: field}, "required": required}, components["schemas"])
    return replace(row, place=found["in"])


def _answer(status: str, given: Mapping[str, Any], components: Mapping[str, Any]) -> Answer:
    found = components["responses"][given["$ref"].removeprefix(_ANSWERS)] if "$ref" in given else given
    ((media, content),) = found["content"].items()
    outlined = outline(content["schema"], components["schemas"]) if media == JSON else media
    return Answer(status, found["description"], outlined, tuple(found.get("headers", ())))


def _type(handler: Handler, document: Document, root: str) -> ClaimedType:
    schemas = document.content["components"]["schemas"]
    data = schemas[part_of(handler.type, DATA)]
    (sent,) = schemas[part_of(handler.type, TRANSACTION)]["examples"]
    return ClaimedType(
        mark=f"type-{handler.type}",
        handler=handler,
        words=str(data.get("description", "")),
        fields=_fields(data, schemas),
        is_open=data.get("additionalProperties", True) is True,
        example=simplejson.dumps(sent, use_decimal=True, indent=2, default=str),
        curl=_curl("post", f"{root}/api/data/", sent),
    )


def _fields(data: Mapping[str, Any], schemas: Mapping[str, Any]) -> list[Row]:
    try:
        return list(rows(data, schemas))
    except Exception:  # a field's metadata goes into its description unseen; one that is no JSON Schema has no table
        return []


def _table(name: str, document: Document) -> Table:
    schemas = document.content["components"]["schemas"]
    return Table(mark(f"shape {name}"), name, schemas[name].get("description", ""), list(rows(schemas[name], schemas)))


def _filled(path: str, parameters: Sequence[Row], document: Document) -> str:
    some = example_type(next(iter(document.claims), "deposit"))
    for one in parameters:
        path = path.replace(f"{{{one.name}}}", json.loads(one.example) if one.example else some)
    return path


def _curl(method: str, url: str, body: Any = None) -> str:
    """A command for a POSIX shell."""
    words = ["curl", "-s"] + (["-X", "POST"] if method == "post" and body is None else []) + [url]
    if body is not None:
        words += ["-H", f"Content-Type: {JSON}", "-d", write_json(body)]
    return shlex.join(words)
