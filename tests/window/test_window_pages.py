"""Every page: what it shows, that nothing shown is ever markup, and that any address shows something sensible."""

from __future__ import annotations

import re

import pytest

from transqueue.admin.report import WorkerReport
from transqueue.errors import QueueUnavailable
from transqueue.outcome import Outcome, Verb
from transqueue.plugins import PluginState
from transqueue.queue import Settlement
from transqueue.transaction import OnEnd

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
PAGES = ("/", "/transactions", "/failures", "/types", "/types/pay", "/workers", "/plugins", "/audit", "/system")


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_shown_without_anything_in_the_queue_and_with_much(house, visitor, page):
    assert "TransQueue" in visitor.see(page)
    house.bury()
    house.enqueue("lost")
    house.enqueue()
    house.lease()
    assert "<h1" in visitor.see(page)


@pytest.mark.parametrize("page", [*PAGES, "/login", "/nowhere"])
def test_no_page_runs_or_styles_anything_but_files_of_the_package(visitor, page):
    answer = visitor.client.get(f"/ui{page}")
    policy = dict(part.strip().partition(" ")[::2] for part in answer.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["form-action"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    text = answer.get_data(as_text=True)
    assert re.findall(r"<script(?! src=\"/ui/static/)", text) == []
    assert re.findall(r"<style|\sstyle=|\son[a-z]+=|javascript:", text) == []
    assert "http://" not in re.sub(
        r"http://(localhost|www\.w3\.org)", "", "".join(re.findall(r'(?:src|href)="[^"]*"', text))
    )
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"  # else browsers send forms with `Origin: null`


def test_hostile_text_is_shown_as_text_everywhere(house, visitor):
    given = house.bury(HOSTILE, data={"name": HOSTILE, HOSTILE: 1})
    house.queue.pause("pay", by=HOSTILE, reason=HOSTILE)
    house.queue.audit.record(HOSTILE, "type.paused", HOSTILE, {HOSTILE: HOSTILE})
    broken = PluginState(name="evil", state="broken", phase=HOSTILE, reason=HOSTILE, cure=HOSTILE, distribution=HOSTILE)
    house.claims.broken = (broken,)
    pages = [*PAGES, f"/transactions/{given.id}", f"/transactions?type={HOSTILE}&key={HOSTILE}&submitter={HOSTILE}"]
    pages += [f"/failures/redrive?cause={HOSTILE}", f"/transactions?cause={HOSTILE}"]
    for page in pages:
        text = visitor.see(page)
        assert "<script>alert" not in text, page
        assert "<img src=x" not in text, page
    assert "&lt;script&gt;" in visitor.see(f"/transactions/{given.id}")


@pytest.mark.parametrize(
    "number", ["-1", "0", "1", "201", "9" * 18, "9" * 400, "1e9", "NaN", "", "\u0661", "0x10", "1;2"]
)
def test_a_number_out_of_range_is_brought_within_bounds(visitor, number):
    for name in ("limit", "after", "since", "until", "age", "id", "state"):
        visitor.see(f"/transactions?{name}={number}")
    visitor.see(f"/?span={number}")
    visitor.see(f"/audit?after={number}&limit={number}")
    visitor.see(f"/failures/redrive?cause={number}&until={number}")
    assert visitor.client.get(f"/ui/plots.json?span={number}&type={number}").status_code == 200


def test_a_page_of_the_list_has_no_more_rows_than_allowed(house, visitor):
    for _ in range(3):
        house.enqueue()
    assert visitor.see("/transactions?limit=2").count('name="id" value="') == 2
    assert visitor.see("/transactions?limit=999999999").count('name="id" value="') == 3


def test_pages_of_the_list_lose_no_row_and_repeat_none(house, visitor):
    ids = {house.enqueue().id for _ in range(7)}
    seen, page = [], "/transactions?limit=3&type=pay"
    while page:
        text = visitor.see(page)
        seen += re.findall(r'name="id" value="(\d{21})"', text)
        found = re.search(r'rel="next" href="/ui([^"]+)"', text)
        page = found[1].replace("&amp;", "&") + "&limit=3" if found else None
    assert len(seen) == len(set(seen)) == 7
    assert set(seen) == ids


@pytest.mark.parametrize(
    ("filter", "count"),
    [
        ("state=dead", 1),
        ("state=queued", 2),
        ("type=invoice.pay", 1),
        ("submitter=bob", 1),
        ("type=nothing", 0),
        ("age=1h", 3),
        ("since=2100-01-01T00:00", 0),
        ("until=2001-01-01T00:00", 0),
        ("state=dead&type=invoice.pay", 0),
    ],
)
def test_the_list_shows_what_its_address_asks_for(house, visitor, filter, count):
    house.bury()
    house.enqueue("invoice.pay")
    house.enqueue(submitter="bob")
    assert visitor.see(f"/transactions?{filter}").count('name="id" value="') == count


def test_an_id_leads_to_its_transaction(house, visitor):
    given = house.enqueue()
    answer = visitor.client.get(f"/ui/transactions?id={given.id}")
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/ui/transactions/{given.id}")
    visitor.see("/transactions/" + "1" * 21, 404)
    visitor.see("/transactions/x", 404)
    visitor.see("/types/nothing", 404)
    visitor.see("/a/b/c", 404)


def test_one_transaction_tells_its_whole_story(house, visitor):
    text = visitor.see(f"/transactions/{house.bury(data={'name': 'Ada', 'value': 5}).id}")
    for told in ("accepted", "attempt 1: dead", "ValueError", "no account 17", "File x", "It is dead", "curl -s"):
        assert told in text
    assert "&#34;value&#34;: 5" in text


def test_what_follows_is_shown_in_both_directions(house, visitor):
    house.enqueue(on_end=(OnEnd(type="invoice.pay", data={"name": "Ada"}, max_attempts=3),))
    leased = house.lease()
    assert "<code>invoice.pay</code> will be enqueued" in visitor.see(f"/transactions/{leased.id}")
    child = house.new(parent=leased.id)
    house.queue.settle([Settlement(leased, Outcome(verb=Verb.COMPLETE, follow_ups=(child,)))])
    text = visitor.see(f"/transactions/{leased.id}")
    (at_end,) = [one for one in house.queue.page().transactions if one.type == "invoice.pay"]
    assert text.index("What follows from it") < text.index(child.id)
    assert child.id in text
    assert at_end.id in text
    for text in map(visitor.see, (f"/transactions/{child.id}", f"/transactions/{at_end.id}")):
        assert f'follows from <a href="/ui/transactions/{leased.id}">' in text


def test_more_that_follows_than_a_page_shows_is_told(house, visitor):
    house.enqueue()
    parent = house.lease()
    children = tuple(house.new(parent=parent.id) for _ in range(21))
    ids = [child.id for child in children]
    house.queue.settle([Settlement(parent, Outcome(verb=Verb.COMPLETE, follow_ups=children))])
    text = visitor.see(f"/transactions/{parent.id}")
    assert [id in text for id in ids] == [True] * 20 + [False]
    assert "there are more" in text


def test_what_waits_says_why(house, visitor):
    parked, paused = house.enqueue("lost"), house.enqueue()
    house.queue.pause("pay", by="local", reason="the bank is closed")
    assert "the bank is closed" in visitor.see(f"/transactions/{paused.id}")
    assert "No worker is alive" in visitor.see(f"/transactions/{parked.id}")


def test_workers_show_what_they_run_and_what_ended_others(house, visitor):
    given = house.enqueue()
    leased = house.lease()
    report = WorkerReport(doing="running", transaction=given.id, seconds=75.0, memory_bytes=50 * 2**20)
    house.queue.report({leased.lease.worker: report})
    text = visitor.see("/workers")
    for told in (given.id, "1 min 15 s", "50 MiB", "4711"):
        assert told in text


def test_the_overview_puts_what_is_wrong_on_top(house, visitor):
    house.claims.broken = (PluginState(name="evil", state="broken", phase="import", reason="no", cure="Mend it."),)
    house.queue.pause("pay", by="cli:ann", reason="tea")
    text = visitor.see("/")
    assert text.index("The plugin") < text.index("is paused") < text.index("Nothing is processed")
    assert "Mend it." in text


def test_settings_are_masked(visitor):
    for page in ("/plugins", "/system"):
        text = visitor.see(page)
        assert "hunter2" not in text
        assert "u:pw@" not in text
        assert "password" in text


def test_plots_tell_each_step_of_their_span(visitor):
    told = visitor.client.get("/ui/plots.json?span=1h&type=pay").json
    assert len(told["at"]) == len(told["accepted"]) == len(told["run95"]) == 60


def test_a_database_that_is_away_is_told_on_the_page(house, visitor, monkeypatch):
    def away(*_args, **_more):
        raise QueueUnavailable

    monkeypatch.setattr(house.queue.listing, "page", away)
    answer = visitor.client.get("/ui/transactions")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert "The database did not answer" in answer.get_data(as_text=True)
