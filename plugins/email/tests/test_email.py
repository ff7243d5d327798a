"""Mail, handed to a real SMTP server on this machine: aiosmtpd, with and without encryption and login."""

from __future__ import annotations

import email
import email.policy
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import transqueue_email.sending as sending
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from transqueue.testing import Kit, PluginBroken, PluginContract, SubmissionRefused, crash

MAIL = {"to": ["ann@example.org"], "subject": "Your parcel", "text": "It has been sent."}
PASSWORD = "as secret as can be"


class TestContract(PluginContract):
    plugin = "email"
    outside = ("email.send",)  # tried below, with a server


class Postbox:
    """What a server does with its mail: keeps it, or answers as it is told to."""

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.recipients: list[list[str]] = []
        self.answers: dict[str, str] = {}
        self.at_the_end = "250 taken"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        answer = self.answers.get(address, "250 OK")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if self.at_the_end.startswith("250"):
            self.taken.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
            self.recipients.append(list(envelope.rcpt_tos))
        return self.at_the_end


@pytest.fixture
def postbox() -> Postbox:
    return Postbox()


@pytest.fixture
def serve(postbox: Postbox) -> Iterator[Callable[..., int]]:
    """The function `serve(**how)`: a server for the postbox; its port."""
    started: list[Controller] = []

    def start(**how: Any) -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        started.append(Controller(postbox, hostname="127.0.0.1", port=port, **how))
        started[-1].start()
        return port

    yield start
    for one in started:
        one.stop(no_assert=True)


@pytest.fixture
def kit(make_tq: Callable[..., Kit], serve: Callable[..., int]) -> Kit:
    """A kit whose mail goes to a server that wants neither encryption nor a login."""
    return make_tq(config(serve()))


def config(port: int, **more: Any) -> dict[str, Any]:
    plain = {"host": "127.0.0.1", "port": port, "security": "none", "sender": "shop@example.org", "timeout_seconds": 10}
    return {"plugins": {"email": {"config": {**plain, "domain": "example.org", **more}}}}


def test_a_message_arrives_whole(kit: Kit, postbox: Postbox) -> None:
    mail = {**MAIL, "subject": "Grüße", "html": "<p>sent</p>", "cc": ["bob@example.org"], "bcc": ["eve@example.org"]}
    sent = kit.perform("email.send", {**mail, "reply_to": "help@example.org"})
    assert sent.state == "done", sent.error
    (message,) = postbox.taken
    assert (message["From"], message["To"], message["Cc"]) == (
        "shop@example.org",
        "ann@example.org",
        "bob@example.org",
    )
    assert (message["Subject"], message["Reply-To"], message["Bcc"]) == ("Grüße", "help@example.org", None)
    assert message.get_body(("plain",)).get_content().strip() == "It has been sent."
    assert message.get_body(("html",)).get_content().strip() == "<p>sent</p>"
    assert postbox.recipients == [["ann@example.org", "bob@example.org", "eve@example.org"]]
    assert sent.result["message_id"] == message["Message-ID"] == f"<{sent.transaction.id}.message@example.org>"


def test_a_message_of_html_alone_is_html(kit: Kit, postbox: Postbox) -> None:
    kit.perform("email.send", {"to": ["ann@example.org"], "subject": "Hi", "html": "<b>hi</b>"})
    assert postbox.taken[0].get_content_type() == "text/html"


def test_sent_twice_it_can_be_told_by_its_message_id(
    kit: Kit, postbox: Postbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hand_over_and_die(*given: Any) -> None:
        hand_over(*given)
        crash()

    hand_over = sending.hand_over
    with monkeypatch.context() as patch:
        patch.setattr(sending, "hand_over", hand_over_and_die)
        id = kit.submit("email.send", MAIL)
        kit.run()
    assert kit.get(id).crashes == 1
    kit.advance()
    kit.run()
    assert kit.get(id).state == "done"
    first, second = postbox.taken
    assert first.as_bytes() == second.as_bytes()
    assert first["Message-ID"] == f"<{id}.message@example.org>"


@pytest.mark.parametrize(
    ("answer", "state", "error"),
    [
        ("550 5.1.1 no such user", "rejected", "Reject: ann@example.org: 550 5.1.1 no such user"),
        ("450 4.2.0 greylisted", "queued", "SMTPRecipientsRefused"),
    ],
)
def test_a_recipient_refused_ends_it_for_good_or_for_now(
    kit: Kit, postbox: Postbox, answer: str, state: str, error: str
) -> None:
    postbox.answers["ann@example.org"] = answer
    sent = kit.perform("email.send", MAIL)
    assert (sent.state, (sent.error or "").startswith(error)) == (state, True), sent.error
    postbox.answers.clear()
    if state == "queued":
        kit.advance()
        kit.run()
        assert kit.get(sent.transaction.id).state == "done"


@pytest.mark.parametrize(
    ("answer", "state"), [("554 5.7.1 spam", "rejected"), ("452 4.3.1 full", "queued"), ("250 taken", "done")]
)
def test_a_message_refused_ends_it_for_good_or_for_now(kit: Kit, postbox: Postbox, answer: str, state: str) -> None:
    postbox.at_the_end = answer
    assert kit.perform("email.send", MAIL).state == state


def test_some_recipients_may_be_refused(kit: Kit, postbox: Postbox) -> None:
    postbox.answers = {"bob@example.org": "550 gone", "eve@example.org": "450 later"}
    mail = {**MAIL, "to": ["ann@example.org", "bob@example.org"], "bcc": ["eve@example.org"]}
    sent = kit.perform("email.send", mail)
    assert sent.result["accepted"] == ["ann@example.org"]
    assert sent.result["refused"] == {"bob@example.org": "550 gone"}
    assert sent.result["later"] == ["eve@example.org"]
    postbox.answers.clear()
    kit.advance()
    kit.run()
    assert postbox.recipients == [["ann@example.org"], ["eve@example.org"]]
    first, second = postbox.taken
    assert (first["Message-ID"], first["To"]) == (second["Message-ID"], second["To"])


def test_an_unreachable_server_is_tried_again(make_tq: Callable[..., Kit]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = probe.getsockname()[1]
    sent = make_tq(config(nobody)).perform("email.send", MAIL)
    assert (sent.state, (sent.error or "").partition(":")[0]) == ("queued", "ConnectionRefusedError")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, str]:
    """What a server shows, and the file of who vouches for it."""
    authority = trustme.CA()
    shown = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(shown)
    file = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(file)
    return shown, str(file)


def login(server: Any, session: Any, envelope: Any, mechanism: str, given: Any) -> AuthResult:
    well = isinstance(given, LoginPassword) and (given.login, given.password) == (b"shop", PASSWORD.encode())
    return AuthResult(success=well, handled=well)


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_encrypted_and_logged_in(
    make_tq: Callable[..., Kit],
    serve: Callable[..., int],
    postbox: Postbox,
    certificates: tuple[ssl.SSLContext, str],
    security: str,
) -> None:
    shown, trusted = certificates
    how = {"ssl_context": shown} if security == "tls" else {"tls_context": shown, "require_starttls": True}
    upgraded = security == "starttls"  # aiosmtpd does not see that a connection was encrypted from the first byte
    port = serve(**how, authenticator=login, auth_required=upgraded, auth_require_tls=upgraded)
    options = {"security": security, "ca_file": trusted, "username": "shop", "password": PASSWORD}
    assert make_tq(config(port, **options)).perform("email.send", MAIL).state == "done"
    wrong = make_tq(config(port, **{**options, "password": "wrong"})).perform("email.send", MAIL)
    assert (wrong.state, (wrong.error or "").partition(":")[0]) == ("queued", "SMTPAuthenticationError")
    untrusted = make_tq(config(port, **{**options, "ca_file": ""})).perform("email.send", MAIL)
    assert (untrusted.state, (untrusted.error or "").partition(":")[0]) == ("queued", "SSLCertVerificationError")
    assert len(postbox.taken) == 1
    for told in (wrong, untrusted):
        assert PASSWORD not in str(told.transaction)


def test_a_password_is_not_sent_in_the_clear(make_tq: Callable[..., Kit]) -> None:
    with pytest.raises(PluginBroken, match="not sent in the clear"):
        make_tq(config(25, host="mail.example.org", username="shop", password=PASSWORD))


def test_from_is_for_those_who_are_listed(make_tq: Callable[..., Kit], serve: Callable[..., int]) -> None:
    kit = make_tq(config(serve(), senders=["sales@example.org"]))
    assert kit.perform("email.send", {**MAIL, "from": "sales@example.org"}).state == "done"
    refused = kit.perform("email.send", {**MAIL, "from": "boss@example.org"})
    assert (refused.state, "may not be used" in (refused.error or "")) == ("rejected", True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"to": []},
        {"to": ["nobody"]},
        {"subject": "two\nlines"},
        {"subject": "hidden\r\nBcc: eve@example.org"},
        {"text": ""},
        {"to": ["ann@example.org\r\nBcc: eve@example.org"]},
        {"message_id": "<a@b>\r\nBcc: eve@example.org"},
        {"colour": "red"},
    ],
)
def test_what_is_no_mail_is_refused_at_the_door(kit: Kit, wrong: dict[str, Any]) -> None:
    with pytest.raises(SubmissionRefused):
        kit.submit("email.send", {**MAIL, **wrong})


def test_the_health_check_tells_whether_the_server_takes_us(serve: Callable[..., int]) -> None:
    options = config(serve())["plugins"]["email"]["config"]
    whole = {"ca_file": "", "username": "", "password": "", **options}
    (check,) = sending.transqueue_health_checks(whole)
    check.run()
    (check,) = sending.transqueue_health_checks({**whole, "port": 1})
    with pytest.raises(ConnectionRefusedError):
        check.run()
