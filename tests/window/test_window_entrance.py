"""Who may look and act: the login, its end, forged forms, and every action with every scope."""

from __future__ import annotations

from dataclasses import replace

import pytest

from transqueue.access import Scope
from transqueue.dashboard import session

ACTIONS = {
    "/transactions/{id}/retry": Scope.OPERATE,
    "/transactions/{id}/cancel": Scope.OPERATE,
    "/transactions/selected": Scope.OPERATE,
    "/types/pay/pause": Scope.OPERATE,
    "/types/pay/resume": Scope.OPERATE,
    "/failures/redrive": Scope.OPERATE,
    "/system/reload": Scope.OPERATE,
    "/types/pay/try": Scope.SUBMIT,
}
LOOKS_ON = (Scope.READ, Scope.OPERATE, Scope.ADMIN)


# The login


def test_without_keys_this_machine_needs_no_login(visitor):
    assert "local" in visitor.see("/")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1", "[::2]"])
def test_without_keys_a_name_that_was_rebound_to_this_machine_is_refused(visitor, host):
    assert visitor.client.get("/ui/", headers={"Host": host}).status_code == 403
    assert visitor.client.get("/ui/", headers={"Host": "localhost:5000"}).status_code == 200
    assert visitor.client.get("/ui/", headers={"Host": "[::1]:5000"}).status_code == 200


def test_without_keys_a_proxy_is_refused(visitor):
    assert visitor.client.get("/ui/", headers={"X-Forwarded-For": "10.1.1.1"}).status_code == 403


def test_with_a_key_nothing_is_shown_before_the_login(house):
    house.queue.api_keys.create("ann", [Scope.READ])
    visitor = house.visitor()
    for page in ("/", "/transactions", "/types/pay", "/plots.json", "/audit", "/nowhere"):
        answer = visitor.client.get(f"/ui{page}")
        assert (answer.status_code, answer.headers["Location"].partition("?")[0]) == (303, "/ui/login")
    assert visitor.client.get("/ui/login").status_code == 200
    with visitor.client.get("/ui/static/ui.css") as style:
        assert style.status_code == 200
    refreshed = visitor.client.get("/ui/", headers={"HX-Request": "true"})
    assert (refreshed.status_code, refreshed.headers["HX-Redirect"]) == (204, "/ui/login")


def test_a_login_leads_to_the_page_that_was_asked_for_and_nowhere_else(house):
    text = house.queue.api_keys.create("ann", [Scope.READ]).text
    assert house.visitor().log_in(text, next="/ui/workers").headers["Location"] == "/ui/workers"
    for foreign in ("https://evil.example/", "//evil.example", "/ui/\\evil", "/api/data/", "/ui//evil.example"):
        assert house.visitor().log_in(text, next=foreign).headers["Location"] == "/ui/"


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites_and_holds_no_key(house):
    text = house.queue.api_keys.create("ann", [Scope.READ]).text
    answer = house.visitor().log_in(text)
    (cookie,) = answer.headers.getlist("Set-Cookie")
    assert all(part in cookie for part in ("HttpOnly", "SameSite=Strict", "Path=/ui"))
    assert text.rpartition("_")[2] not in cookie
    visitor = house.visitor()
    visitor.see("/login")
    sent = {"key": text, "csrf": visitor.token()}
    over_tls = {"Sec-Fetch-Site": "same-origin", "X-Forwarded-Proto": "https"}
    (cookie,) = visitor.client.post("/ui/login", data=sent, headers=over_tls).headers.getlist("Set-Cookie")
    assert "Secure" in cookie


@pytest.mark.parametrize("key", ["", "x", "tq_0_0", "tq_" + "0" * 12 + "_" + "0" * 64])
def test_a_wrong_key_is_refused(house, key):
    house.queue.api_keys.create("ann", [Scope.READ])
    visitor = house.visitor()
    assert "not valid" in visitor.log_in(key, 401).get_data(as_text=True)
    visitor.see("/", 303)


def test_a_key_that_only_submits_does_not_look_on(house):
    visitor = house.visitor()
    assert "scope" in visitor.log_in(house.queue.api_keys.create("ann", [Scope.SUBMIT]).text, 403).get_data(
        as_text=True
    )
    visitor.see("/", 303)


def test_the_token_of_the_forms_changes_at_the_login(house):
    text = house.queue.api_keys.create("ann", [Scope.READ]).text
    visitor = house.visitor()
    before = visitor.token()
    visitor.log_in(text)
    assert visitor.token() != before


def test_a_logout_ends_the_session(sent_by):
    visitor = sent_by(Scope.READ)
    visitor.see("/")
    visitor.do("/logout")
    visitor.see("/", 303)


def test_a_key_that_is_revoked_ends_its_sessions(house):
    visitor = house.visitor(Scope.READ)
    visitor.see("/")
    (key,) = house.queue.api_keys.all()
    house.queue.api_keys.revoke(key.id)
    again = house.visitor()  # another process, which has remembered nothing
    again.client.set_cookie(session.COOKIE, visitor.client.get_cookie(session.COOKIE, path="/ui").value, path="/ui")
    again.see("/", 303)


@pytest.mark.parametrize(("seconds", "status"), [(session.IDLE_SECONDS - 5, 200), (session.IDLE_SECONDS + 5, 303)])
def test_a_session_ends_when_nobody_does_anything(house, monkeypatch, seconds, status):
    visitor = house.visitor(Scope.READ)
    visitor.see("/")
    is_over = session.Session.is_over
    monkeypatch.setattr(session.Session, "is_over", lambda self, now: is_over(self, now + seconds))
    visitor.see("/", status)


def test_a_session_ends_after_half_a_day_and_one_from_the_future_is_none():
    begun = session.Session("t", 1000, 1000)
    kept = session.Session("t", 1000, 1000 + session.LONGEST_SECONDS)
    assert not begun.is_over(1000)
    assert not kept.is_over(1000 + session.LONGEST_SECONDS)
    assert kept.is_over(1001 + session.LONGEST_SECONDS)
    assert session.Session("t", 10_000, 10_000).is_over(1000)


def test_a_page_that_refreshes_by_itself_keeps_no_session_alive(house, monkeypatch):
    visitor = house.visitor(Scope.READ)
    visitor.see("/")
    cookie = visitor.client.get_cookie(session.COOKIE, path="/ui").value
    monkeypatch.setattr(session.Sessions, "seen", lambda self, one: replace(one, seen=one.seen + 1))
    visitor.see("/", **{"HX-Request": "true"})
    assert visitor.client.get_cookie(session.COOKIE, path="/ui").value == cookie
    visitor.see("/")
    assert visitor.client.get_cookie(session.COOKIE, path="/ui").value != cookie


@pytest.mark.parametrize("value", ["", "x", "a.b.c", "e30.AAAA", "'\"<>", "." * 4000])
def test_a_cookie_that_is_not_ours_is_nobodys(house, value):
    house.queue.api_keys.create("ann", [Scope.READ])
    visitor = house.visitor()
    visitor.client.set_cookie(session.COOKIE, value, path="/ui")
    visitor.see("/", 303)


# Forged forms


@pytest.mark.parametrize("path", [path.format(id="1" * 21) for path in ACTIONS])
def test_a_form_without_the_token_of_the_session_is_refused(house, visitor, path):
    other = house.visitor().token()
    for token in ("", "x", other):
        assert "form" in visitor.do(path, 403, csrf=token).get_data(as_text=True)
    assert house.queue.paused() == {}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost.evil.example", "Sec-Fetch-Site": "same-origin"},
    ],
)
def test_a_form_from_another_sites_page_is_refused_even_with_the_token(house, visitor, headers):
    visitor.do("/types/pay/pause", 403, headers=headers)
    assert house.queue.paused() == {}


def test_a_form_of_a_page_of_ours_passes(house, visitor):
    visitor.do("/types/pay/pause", headers={"Origin": "http://localhost"})
    assert "pay" in house.queue.paused()


def test_actions_are_never_done_by_a_link(house, visitor):
    given = house.bury()
    for path in ACTIONS:
        visitor.client.get(f"/ui{path.format(id=given.id)}", headers={"Sec-Fetch-Site": "same-origin"})
    assert house.state(given) == "dead"
    assert house.queue.paused() == {}


def test_a_form_that_is_too_large_or_has_no_length_is_refused(visitor):
    answer = visitor.client.post("/ui/login", data=b"x" * (2 * 2**20), content_type="text/plain")
    assert answer.status_code == 413
    answer = visitor.client.post(
        "/ui/login", environ_overrides={"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"}
    )
    assert answer.status_code in (403, 411)


# Every action with every scope


@pytest.mark.parametrize("scope", LOOKS_ON)
@pytest.mark.parametrize("path", ACTIONS)
def test_an_action_is_done_for_those_with_its_scope_and_refused_to_others(house, path, scope):
    given = house.bury()
    visitor = house.visitor(scope)
    needed = ACTIONS[path]
    may = scope is Scope.ADMIN or scope is needed
    answer = visitor.client.post(
        f"/ui{path.format(id=given.id)}",
        data={"csrf": visitor.token("/"), "id": given.id, "verb": "check", "data": "{}"},
        headers={"Sec-Fetch-Site": "same-origin"},
    )
    assert (answer.status_code == 403) is not may


@pytest.mark.parametrize("scope", LOOKS_ON)
def test_buttons_are_there_for_those_who_may(house, scope):
    given = house.bury()
    visitor = house.visitor(scope)
    may = scope is not Scope.READ
    assert ("/retry" in visitor.see(f"/transactions/{given.id}")) is may
    assert ("Pause" in visitor.see("/types/pay")) is may
    assert ("Redrive" in visitor.see("/failures")) is may
    assert ("Retry ticked" in visitor.see("/transactions")) is may
