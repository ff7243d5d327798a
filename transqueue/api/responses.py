"""Answers as Flask takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response
from werkzeug.exceptions import HTTPException

from ..submission import write_json
from .answers import JSON, PROTECTION, Reply
from .gate import Environ
from .request_id import HEADER, ID


class Answer(Response):
    """A response whose headers are complete as they stand, so that nothing is left to look for in them."""

    def get_wsgi_headers(self, environ: Any) -> Any:  # noqa: ARG002
        return self.headers


def response(reply: Reply) -> Response:
    """A reply as a response."""
    return Answer(reply.body, reply.status, [*PROTECTION.items(), *reply.headers], content_type=JSON)


def answer(body: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response."""
    complete = [*PROTECTION.items(), *headers.items()] if headers else [*PROTECTION.items()]
    return Answer(write_json(body), status, complete, content_type=JSON)


def success(data: Any, **more: Any) -> Response:
    """A success with `data`."""
    return answer({"status": "success", "data": data, **more})


def http_error(error: HTTPException) -> Response:
    """The answer to what Flask itself refuses: no such route, or not by this method."""
    code = error.name.lower().replace(" ", "_")
    headers = {name: value for name, value in error.get_headers() if name == "Allow"}
    body = {"status": "error", "message": error.description or error.name, "code": code}
    return answer(body, error.code or 400, headers)


def protected(response: Response) -> Response:
    """The response with the headers that each answer has; what it says itself of them stands."""
    for name, value in PROTECTION.items() if not isinstance(response, Answer) else ():
        response.headers.setdefault(name, value)
    return response


def identified(response: Response, environ: Environ) -> Response:
    """The response with the id of its request."""
    if ID in environ:
        response.headers[HEADER] = environ[ID]
    return response
