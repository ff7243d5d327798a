"""Reading a request's body: announced, bounded, whole, and of a media type that was asked for.

The server lets chunked bodies and short ones through, so nothing is left to it or to the framework: the length must be
announced, and exactly that much must arrive.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ..errors import SubmissionRefused
from .gate import Environ, lent

NDJSON = "application/x-ndjson"
LENGTH_DIGITS = 18


def media_type(environ: Environ, accepted: Collection[str]) -> str:
    """The media type of a request, one of `accepted`.

    Raises:
        SubmissionRefused: 415 `unsupported_media_type`.
    """
    if environ.get("CONTENT_TYPE") in accepted and "HTTP_CONTENT_ENCODING" not in environ:
        return str(environ["CONTENT_TYPE"])
    from werkzeug.http import parse_options_header  # noqa: PLC0415  (slow, and most say no more than the media type)

    found, parameters = parse_options_header(environ.get("CONTENT_TYPE", ""))
    charset = parameters.pop("charset", "utf-8").lower()
    if found.lower() not in accepted or parameters or charset != "utf-8":
        raise _unsupported(f"Content-Type must be {' or '.join(accepted)}, in UTF-8.")
    if environ.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        raise _unsupported("A Content-Encoding is not accepted.")
    return found.lower()


def read_body(environ: Environ, limit: int) -> bytes:
    """The body of a request, at most `limit` bytes, read without holding a slot.

    Raises:
        SubmissionRefused: 411 `length_required`, 413 `too_large`, or 400 `body_incomplete`.
    """
    length = _announced(environ)
    if length > limit:
        raise SubmissionRefused(413, "too_large", f"The body is larger than {limit} bytes.")
    with lent(environ):
        body = _read(environ["wsgi.input"], length)
    if len(body) != length:
        raise SubmissionRefused(400, "body_incomplete", "The body is shorter than its Content-Length.")
    return body


def _announced(environ: Environ) -> int:
    length = environ.get("CONTENT_LENGTH") or ""
    if "HTTP_TRANSFER_ENCODING" in environ or not (length.isascii() and length.isdigit()):
        raise SubmissionRefused(411, "length_required", "Content-Length is required; chunked bodies are not accepted.")
    return int(length[:LENGTH_DIGITS])


def _read(stream: Any, length: int) -> bytes:
    parts: list[bytes] = []
    missing = length
    while missing > 0:
        part = stream.read(missing)
        if not part:
            break
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _unsupported(message: str) -> SubmissionRefused:
    return SubmissionRefused(415, "unsupported_media_type", message)
