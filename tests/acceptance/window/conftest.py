"""One real installation with a window, one real browser, and a page for each test that tells what went wrong in it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from transqueue.access import Scope

VENDOR = Path(__file__).parent / "vendor"
AXE = (VENDOR / "axe-4.14.1.min.js").read_text()
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => window.violations.push(event.violatedDirective));
"""
PLUGIN = """
import time
from marshmallow import Schema, fields
from transqueue import Reject, handler

class Call(Schema):
    number = fields.Integer(required=True, metadata={"example": 7})

@handler("call.fail", schema=Call, max_attempts=1)
def fail(transaction, context):
    "Fail, always."
    raise LookupError(f"no account {transaction.data['number']}")

@handler("call.done", schema=Call)
def done(transaction, context):
    "Be done at once."
    return {"well": "<b>yes</b>"}

@handler("call.hold", schema=Call, timeout_seconds=600)
def hold(transaction, context):
    "Take a while."
    time.sleep(500)
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium without a window."""
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None:
        pytest.fail("these tests need Chromium: apt-get install chromium (as root, `make test` installs it)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def house(make_site: Callable[[], Any]) -> Iterator[Any]:
    """A site that runs, with a broken plugin, some history, and API keys."""
    site = make_site()
    try:
        _furnish(site)
        yield site
    finally:
        site.close()


def _furnish(site: Any) -> None:
    site.configure(workers={"processes": 2, "lease_seconds": 60, "stop_seconds": 1})
    site.plugin("call", PLUGIN)
    site.plugin("torn", "raise RuntimeError('no licence <here>')")
    keys = site._queue.api_keys
    site.keys = {scope: keys.create("ann", [scope]).text for scope in Scope}
    running = site.start("up")
    site.wait_until(lambda: len(running.events("worker.ready")) == 2, timeout=100, message="the workers are ready")
    site.wait_until(site._is_open, timeout=60, message="the door opens")
    site.dead = site.enqueue("call.fail", *({"number": number} for number in range(5)), max_attempts=1)
    site.done = site.enqueue("call.done", {"number": 1})
    site.held = site.enqueue("call.hold", {"number": 1})
    site.parked = site.enqueue("torn.type", {"number": 1})
    site.until(site.dead, "dead", timeout=60)
    site.until(site.done, "done", timeout=60)
    site.until(site.held, "running", timeout=60)


@pytest.fixture(scope="module")
def sessions(browser: Browser, house: Any) -> dict[Scope, Any]:
    """The cookies of those who have logged in, by the scope of their key."""
    found = {}
    for scope in (Scope.READ, Scope.ADMIN):
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{house.port}/ui/")
        page.get_by_label("API key").fill(house.keys[scope])
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("heading", name="Overview").wait_for(state="attached")
        found[scope] = context.storage_state()
        context.close()
    return found


@pytest.fixture
def open_page(browser: Browser, house: Any, sessions: dict[Scope, Any]) -> Iterator[Callable[..., Look]]:
    """The function `open_page(path, scope=Scope.ADMIN, **context)`. At the end nothing may have gone wrong in any."""
    contexts: list[BrowserContext] = []
    looks: list[Look] = []

    def open_one(path: str = "/ui/", scope: Scope | None = Scope.ADMIN, **more: Any) -> Look:
        state = sessions[scope] if scope else None
        contexts.append(browser.new_context(base_url=f"http://127.0.0.1:{house.port}", storage_state=state, **more))
        contexts[-1].set_default_timeout(15_000)
        looks.append(Look(contexts[-1].new_page()))
        looks[-1].go(path)
        return looks[-1]

    yield open_one
    troubles = [trouble for look in looks for trouble in look.troubles()]
    for context in contexts:
        context.close()
    assert troubles == []


class Look:
    """One page in a browser, and what goes wrong in it."""

    def __init__(self, page: Page) -> None:
        self.page, self.expected = page, 0
        self._said: list[str] = []
        page.add_init_script(WATCH)
        page.on("console", lambda message: self._said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self._said.append(str(error)))

    def go(self, path: str) -> None:
        self.page.goto(path, wait_until="load")

    def troubles(self) -> list[str]:
        """Errors in the console, and violations of the policy."""
        if self.page.url.startswith("http"):
            try:
                self._said += self.page.evaluate("window.violations || []")
            except Exception as error:  # without scripts there is nothing to ask
                if "JavaScript" not in str(error) and "disabled" not in str(error):
                    raise
        return self._said

    def picture(self, name: str) -> None:
        """Keep a picture in the folder SCREENSHOTS, if that is set, for people to look at."""
        if folder := os.environ.get("SCREENSHOTS"):
            file = f"{re.sub('[^a-z0-9.]+', '-', name.lower())[:80]}.png"
            self.page.screenshot(path=Path(folder) / file, full_page=True)

    def accessibility(self, *rules: str) -> list[str]:
        """What axe objects to, by all of its rules or by these."""
        if not self.page.evaluate("typeof axe === 'object'"):
            self.page.evaluate(AXE)
        options = {"resultTypes": ["violations"]} | ({"runOnly": list(rules)} if rules else {})
        found = self.page.evaluate("async (options) => (await axe.run(document, options)).violations", options)
        return [
            f"{one['id']}: {node['html'][:150]} {node['failureSummary'][:200]}"
            for one in found
            for node in one["nodes"]
        ]
