"""GET /openapi.json: the whole door in OpenAPI 3.1, with a body for every type that is claimed now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apispec import APISpec
from flask import Response

from .. import __version__
from ..events import Events
from ..handlers import Handler
from ..submission import HEADER_PATTERN, Table, Vetter, write_json
from .answers import JSON
from .bodies import bodies
from .operations import API_KEY, GROUPS, OPERATIONS
from .schemas import OPENAPI
from .shapes import ERRORS, SHAPES

DESCRIPTION = """\
Takes transactions, keeps them safe, and has each one processed by the plugin that claims its type.

Errors have one shape: `status`, `message`, `code` and, for field errors, `errors`. A path that is not described here \
is answered with 404, another method with 405. Bodies are read strictly: UTF-8, no repeated keys, no NaN, integers \
within 64 bits, at most 34 digits; no key is empty, starts with `$` or contains a dot; no text contains NUL.
"""
KEY_DESCRIPTION = """\
Makes it safe to send again what was not answered: the first answer is given again, with `Idempotency-Replayed: true`. \
1 to 255 visible ASCII characters, bare or in double quotes; the same key with another body is refused.
"""

API_KEY_WORDS = """\
An API key, `tq_<id>_<secret>`, with one of the scopes that a route names; `operate` implies `read`, and `admin` all. \
A key that only submits sees the transactions of its own submitter. While there are no keys, none is wanted.
"""


@dataclass(frozen=True, slots=True)
class Document:
    """The description of one set of claims, and how it is sent."""

    claims: Mapping[str, Handler]
    vetters: Sequence[Vetter]
    content: Mapping[str, Any]
    text: str


class OpenApi:
    """Describes the door; again only when the claims have changed."""

    def __init__(self, table: Table, default_type: str, events: Events) -> None:
        self._table, self._default_type, self._events = table, default_type, events
        self._last: Document | None = None

    def show(self) -> Response:
        """The description as JSON."""
        return Response(self.document().text, content_type=JSON)

    def document(self) -> Document:
        """The description of what is claimed now."""
        claims = dict(sorted(self._table.types().items()))
        vetters = self._table.vetters()
        last = self._last
        if last is None or last.claims != claims or last.vetters != vetters:
            content = self._made(claims, vetters)
            self._last = last = Document(claims, vetters, content, write_json(content))
        return last

    def _made(self, claims: Mapping[str, Handler], vetters: Sequence[Vetter]) -> Mapping[str, Any]:
        spec = _empty()
        for name, schema in (*SHAPES.items(), *bodies(claims, vetters, self._default_type, self._events)):
            spec.components.schema(name, schema)
        for name, answer in ERRORS.items():
            spec.components.response(name, answer)
        spec.components.security_scheme(API_KEY, {"type": "http", "scheme": "bearer", "description": API_KEY_WORDS})
        spec.components.parameter("IdempotencyKey", "header", _key_header())
        for operation in OPERATIONS:
            spec.path(operation.path, operations={operation.method: operation.described()})
        made: Mapping[str, Any] = spec.to_dict()
        return made


def _empty() -> APISpec:
    return APISpec(
        "TransQueue",
        __version__,
        OPENAPI,
        info={"description": DESCRIPTION},
        servers=[{"url": "/"}],
        tags=[{"name": group} for group in GROUPS],
    )


def _key_header() -> dict[str, Any]:
    schema = {"type": "string", "pattern": HEADER_PATTERN, "examples": ["order-42"]}
    return {"name": "Idempotency-Key", "description": KEY_DESCRIPTION, "schema": schema}
