"""One POST to one judged address, by the name in the URL, without redirects, proxies or patience."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cache
from time import time

import httpx

from .addresses import address_of

AGENT = "transqueue-webhook/0.1"
LONGEST_WAIT_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver said: the status, and for how long it asks to be left alone."""

    status: int
    retry_after_seconds: float | None


async def post(
    url: str, body: str, headers: Mapping[str, str], *, timeout_seconds: float, allow_private: bool
) -> Answer:
    """Send once.

    Raises:
        AddressRefused: the URL leads to an address that is not public.
        httpx.HTTPError, OSError: no answer came.
    """
    there = httpx.URL(url)
    port = there.port or (443 if there.scheme == "https" else 80)
    address = await address_of(there.host, port, allow_private=allow_private)
    sent = {**headers, "Host": there.netloc.decode(), "User-Agent": AGENT, "Content-Type": "application/json"}
    async with (
        httpx.AsyncClient(verify=tls(), timeout=timeout_seconds, follow_redirects=False, trust_env=False) as client,
        client.stream(
            "POST",
            there.copy_with(host=address),  # never resolved again; the certificate is that of the name
            content=body.encode(),
            headers=sent,
            extensions={"sni_hostname": there.host},
        ) as response,
    ):
        return Answer(response.status_code, _seconds(response.headers.get("Retry-After")))


@cache
def tls() -> ssl.SSLContext:
    """What certificates are held to, made once."""
    return ssl.create_default_context()


def _seconds(header: str | None) -> float | None:
    """`Retry-After` as seconds from now: a number, or a date."""
    if header is None:
        return None
    try:
        seconds = float(header) if header.strip().isdigit() else parsedate_to_datetime(header).timestamp() - time()
    except ValueError:
        return None
    return min(max(seconds, 0.0), LONGEST_WAIT_SECONDS)
