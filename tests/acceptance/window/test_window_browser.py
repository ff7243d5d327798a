"""The window in a real browser: every page and every action, by mouse and keyboard, with and without scripts."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from transqueue.access import Scope

expect.set_options(timeout=20_000)
pytestmark = pytest.mark.timeout(300)  # the first waits for the whole installation

PAGES = {
    "/ui/": "Overview",
    "/ui/transactions": "Transactions",
    "/ui/failures": "Failures",
    "/ui/types": "Types",
    "/ui/types/call.done": "call.done",
    "/ui/workers": "Workers",
    "/ui/plugins": "Plugins",
    "/ui/audit": "Audit",
    "/ui/system": "System",
    "/ui/failures/redrive?cause=call.fail+LookupError:+no+account+…": "Redrive a cause",
}


def press(page, name):
    page.get_by_role("button", name=name, exact=True).click()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_shown_well_and_is_accessible(house, open_page, scheme):
    look = open_page(color_scheme=scheme)
    objections = []
    for path, title in {**PAGES, f"/ui/transactions/{house.dead[0]}": house.dead[0]}.items():
        look.go(path)
        expect(look.page.locator("h1")).to_contain_text(title)
        objections += [f"{path}: {one}" for one in look.accessibility()]
    assert objections == []


def test_the_login_is_accessible_and_refuses_what_is_no_key(house, open_page):
    look = open_page("/ui/workers", scope=None)
    expect(look.page).to_have_url(re.compile(r"/ui/login\?next="))
    assert look.accessibility() == []
    look.page.get_by_label("API key").fill(house.keys[Scope.READ])
    press(look.page, "Log in")
    expect(look.page).to_have_url(re.compile("/ui/workers$"))
    press(look.page, "Log out")
    look.go("/ui/")
    expect(look.page.get_by_label("API key")).to_be_visible()


def test_plots_are_drawn_and_follow_the_span(open_page):
    look = open_page("/ui/")
    expect(look.page.locator(".plot canvas")).to_have_count(3)
    look.page.get_by_role("link", name="7d", exact=True).click()
    expect(look.page).to_have_url(re.compile("span=7d"))
    expect(look.page.locator(".plot canvas")).to_have_count(3)


def test_the_overview_is_live_and_tells_of_a_broken_plugin(house, open_page):
    look = open_page("/ui/")
    expect(look.page.locator(".notice.bad").first).to_contain_text("no licence <here>")
    before = look.page.locator("#types").text_content()
    house.enqueue("call.done", *({"number": number} for number in range(50)))
    expect(look.page.locator("#types")).not_to_have_text(before, timeout=20_000)


def test_nothing_is_asked_while_the_tab_is_hidden_or_the_page_stands_still(open_page):
    look = open_page("about:blank")
    page, asked = look.page, []
    page.clock.install()
    page.add_init_script("Object.defineProperty(document, 'visibilityState', {get: () => window.seen || 'visible'})")
    look.go("/ui/workers")
    page.on("request", lambda request: asked.append(request.url))

    def asks_within(seconds):
        asked.clear()
        page.clock.run_for(seconds * 1000)
        page.evaluate("() => fetch('/healthz')")  # asked in the same order: what came before it has been sent
        page.wait_for_function("() => true")
        return [url for url in asked if "healthz" not in url]

    assert asks_within(11)
    page.evaluate("window.seen = 'hidden'")
    assert asks_within(60) == []
    page.evaluate("window.seen = 'visible'")
    assert asks_within(11)
    press(page, "Live")
    asked.clear()
    assert asks_within(60) == []


def test_one_is_found_by_its_id_and_its_command_is_copied(house, open_page):
    look = open_page("/ui/", permissions=["clipboard-read", "clipboard-write"])
    look.page.get_by_label("Transaction id").fill(house.done[0])
    look.page.keyboard.press("Enter")
    expect(look.page.locator("h1")).to_contain_text(house.done[0])
    expect(look.page.locator("pre", has_text="well")).to_contain_text("<b>yes</b>")
    press(look.page, "Copy as curl")
    expect(look.page.get_by_role("button", name="Copied")).to_be_visible()
    assert look.page.evaluate("navigator.clipboard.readText()").startswith("curl -s http://127.0.0.1")


def test_a_dead_one_is_retried_and_dies_again_and_another_is_cancelled(house, open_page):
    look = open_page(f"/ui/transactions/{house.dead[0]}")
    press(look.page, "Retry")
    expect(look.page.get_by_role("status")).to_contain_text("queued again")
    house.until([house.dead[0]], "dead")
    look.go(f"/ui/transactions/{house.dead[1]}")
    look.page.locator("summary", has_text="Cancel").click()
    press(look.page, "Cancel it")
    expect(look.page.locator("h1")).to_contain_text("cancelled")
    assert house.transaction(house.dead[1])["state"] == "cancelled"


def test_ticked_ones_are_retried_and_the_filter_stays(house, open_page):
    (extra,) = house.enqueue("call.fail", {"number": 1}, max_attempts=1)
    house.until([extra], "dead")
    look = open_page("/ui/transactions?state=dead&type=call.fail")
    look.page.get_by_label(f"Tick {extra}").check()
    press(look.page, "Retry ticked")
    expect(look.page.get_by_role("status")).to_contain_text("1 of 1")
    expect(look.page).to_have_url(re.compile("state=dead"))
