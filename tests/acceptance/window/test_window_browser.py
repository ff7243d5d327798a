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


def test_every_page_is_shown_well_and_is_accessible_in_light_and_dark(house, open_page):
    look = open_page()
    objections = []
    for path, title in {**PAGES, f"/ui/transactions/{house.dead[0]}": house.dead[0]}.items():
        look.go(path)
        expect(look.page.locator("h1")).to_contain_text(title)
        objections += [f"{path}: {one}" for one in look.accessibility()]
        look.picture(f"light {title}")
        look.page.emulate_media(color_scheme="dark")
        objections += [f"{path} in the dark: {one}" for one in look.accessibility("color-contrast")]
        look.picture(f"dark {title}")
        look.page.emulate_media(color_scheme="light")
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
    expect(look.page.locator("#types")).not_to_have_text(before)


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


def test_a_filter_is_in_the_address(house, open_page):
    look = open_page("/ui/transactions")
    look.page.get_by_label("Type", exact=True).fill("call.hold")
    press(look.page, "Filter")
    expect(look.page).to_have_url(re.compile("type=call.hold"))
    expect(look.page.locator("tbody tr")).to_have_count(1)
    look.page.get_by_role("link", name=house.held[0]).click()
    expect(look.page.locator(".why")).to_contain_text("in the hands of")


def test_a_type_is_paused_with_a_reason_and_resumed(house, open_page):
    look = open_page("/ui/types/call.done")
    look.page.locator("summary", has_text="Pause").click()
    look.page.get_by_label("Why").fill("the bank is closed")
    press(look.page, "Pause")
    expect(look.page.locator(".notice.warn")).to_contain_text("the bank is closed")
    (waits,) = house.enqueue("call.done", {"number": 2})
    look.go(f"/ui/transactions/{waits}")
    expect(look.page.locator(".why")).to_contain_text("was paused by")
    look.go("/ui/types/call.done")
    press(look.page, "Resume")
    expect(look.page.get_by_role("status")).to_contain_text("goes on")
    house.until([waits], "done")


def test_a_cause_is_redriven_after_a_preview(house, open_page):
    extra = house.enqueue("call.fail", {"number": 8}, {"number": 9}, max_attempts=1)
    house.until(extra, "dead")
    look = open_page("/ui/failures")
    look.page.get_by_role("row", name=re.compile("no account")).get_by_role("link", name="Redrive…").click()
    expect(look.page.locator("main")).to_contain_text("will be queued again")
    look.page.get_by_label("How many a second").select_option("all")
    press(look.page, "Redrive")
    expect(look.page.get_by_role("status")).to_contain_text("queued again")
    house.until(extra, "dead")
    assert {house.transaction(one)["attempts"] for one in extra} == {2}
    look.go("/ui/audit")
    expect(look.page.locator("tbody")).to_contain_text("cause.redriven")


def test_a_type_is_tried(house, open_page):
    look = open_page("/ui/types/call.done")
    look.page.get_by_role("textbox", name="Data").fill('{"number": "x"}')
    press(look.page, "Check")
    expect(look.page.locator(".try [role=status]")).to_contain_text("data.number")
    look.page.get_by_role("textbox", name="Data").fill('{"number": 5}')
    press(look.page, "Check")
    expect(look.page.locator(".try [role=status]")).to_contain_text("would be accepted")
    press(look.page, "Submit")
    expect(look.page).to_have_url(re.compile(r"/ui/transactions/\d{21}"))
    expect(look.page.locator("h1")).to_contain_text("done")
    expect(look.page.locator("summary")).to_have_count(0)  # one that has ended cannot be cancelled


def test_workers_tell_what_they_run_and_what_ended_them(house, open_page):
    look = open_page("/ui/workers")
    expect(look.page.locator("main")).to_contain_text(house.held[0])
    expect(look.page.locator("main")).to_contain_text("MiB")


def test_one_who_only_reads_finds_nothing_to_press(house, open_page):
    look = open_page(f"/ui/transactions/{house.dead[2]}", scope=Scope.READ)
    expect(look.page.get_by_role("button", name="Retry")).to_have_count(0)
    look.go("/ui/types/call.done")
    expect(look.page.locator("summary")).to_have_count(0)


def test_everything_but_plots_and_refresh_works_without_scripts(house, open_page):
    look = open_page("/ui/transactions?state=dead", java_script_enabled=False)
    look.page.get_by_role("link", name=house.dead[3]).click()
    look.page.locator("summary", has_text="Cancel").click()
    press(look.page, "Cancel it")
    expect(look.page.get_by_role("status")).to_contain_text("cancelled")
    for path in PAGES:
        look.go(path)
        expect(look.page.locator("h1")).to_have_count(1)
    expect(look.page.locator("svg.spark")).to_have_count(0)
    look.go("/ui/")
    assert look.page.locator("svg.spark").count() > 0


def test_the_keyboard_reaches_everything(open_page):
    look = open_page("/ui/types/call.done")
    look.page.keyboard.press("Tab")
    expect(look.page.locator(":focus")).to_have_text("Skip to the page")
    look.page.keyboard.press("Enter")
    expect(look.page.locator("main")).to_be_focused()
    reached = set()
    for _ in range(60):
        look.page.keyboard.press("Tab")
        reached.add(look.page.evaluate("document.activeElement.textContent.trim().slice(0, 20)"))
    assert {"Pause…", "1h", "Check", "Submit"} <= reached


def test_a_narrow_screen_shows_it_all_without_scrolling_sideways(house, open_page):
    look = open_page()
    over = {}
    for path in [*PAGES, f"/ui/transactions/{house.dead[0]}"]:
        look.go(path)
        for width in (800, 390):
            look.page.set_viewport_size({"width": width, "height": 800})
            over[width, path] = look.page.evaluate("document.documentElement.scrollWidth - innerWidth")
            look.picture(f"{width} {path}")
    assert {where: by for where, by in over.items() if by > 0} == {}


def test_a_reload_is_asked_for_and_its_outcome_is_told(house, open_page):
    look = open_page("/ui/system")
    look.page.locator("summary", has_text="Reload").click()
    press(look.page, "Reload")
    expect(look.page.get_by_role("status")).to_contain_text("1 part was asked to reload")
    expect(look.page.get_by_role("row", name=re.compile("^up "))).to_contain_text("put to use", timeout=180_000)
    look.go("/ui/audit")
    expect(look.page.locator("tbody")).to_contain_text("config.reload_asked")
