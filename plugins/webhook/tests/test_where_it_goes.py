"""A webhook goes to public addresses only, judged after the name was resolved, and under the name of its URL."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import ssl

import pytest
import trustme
from transqueue_webhook import addresses, sending
from transqueue_webhook.signing import seal

from transqueue.testing import Kit

SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()

PRIVATE = [
    *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1"),
    *("255.255.255.255", "192.0.2.1", "::1", "::", "fe80::1", "fc00::1", "ff02::1", "::ffff:127.0.0.1"),
    *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:c0a8:101::", "2001:db8::1"),
]
PUBLIC = ["8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]


@pytest.mark.parametrize(("address", "public"), [*((one, False) for one in PRIVATE), *((one, True) for one in PUBLIC)])
def test_only_public_addresses_are_public(address, public):
    assert addresses.is_public(ipaddress.ip_address(address)) is public


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f.1", "2130706433", "[::1]"])
def test_nothing_is_sent_to_a_private_address_however_it_is_written(receiver, host):
    with Kit({"plugins": {"webhook": {"config": {"secrets": [SECRET]}}}}) as kit:
        url, body = f"https://{host}:{receiver.port}/hook", "{}"
        done = kit.perform("webhook.deliver", {"url": url, "body": body, "seal": seal([SECRET], "deliver", url, body)})
    assert done.state == "rejected"
    assert "not a public address" in done.error
    assert receiver.requests == []


def resolving(monkeypatch, *answers):
    """Have names resolve to these addresses, one after the other; how often that was asked."""
    asked = []

    async def getaddrinfo(_self, host, port, **_):
        asked.append(host)
        return [(2, 1, 6, "", (answers[min(len(asked), len(answers)) - 1], port))]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)
    return asked


def post(url, **more):
    given = {"timeout_seconds": 5, "allow_private": True, **more}
    return asyncio.run(sending.post(url, "{}", {}, **given))


def test_the_connection_goes_to_the_address_that_was_judged_under_the_name_of_the_url(receiver, monkeypatch):
    asked = resolving(monkeypatch, "127.0.0.1", "192.0.2.9")
    assert post(f"http://hook.example:{receiver.port}/x?y=1").status == 200
    assert asked == ["hook.example"]
    assert receiver.requests[0][0]["Host"] == f"hook.example:{receiver.port}"


def test_a_public_name_that_resolves_to_a_private_address_is_refused(receiver, monkeypatch):
    resolving(monkeypatch, "127.0.0.1")
    with pytest.raises(addresses.AddressRefused, match=r"hook.example is at 127.0.0.1, which is not a public address"):
        post(f"https://hook.example:{receiver.port}/", allow_private=False)


@pytest.fixture
def secure(make_receiver, monkeypatch):
    """A receiver with a certificate for hook.example, made by an authority that is trusted here."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("hook.example").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    monkeypatch.setattr(sending, "tls", lambda: trusting)
    made = make_receiver(lambda socket: context.wrap_socket(socket, server_side=True))
    yield made
    made.close()


def test_the_certificate_is_held_to_the_name_although_the_address_is_connected_to(secure, monkeypatch):
    resolving(monkeypatch, "127.0.0.1")
    assert post(f"https://hook.example:{secure.port}/").status == 200
    with pytest.raises(Exception, match="certificate verify failed"):
        post(f"https://other.example:{secure.port}/")
    assert len(secure.requests) == 1
