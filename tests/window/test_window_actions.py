"""What pages do, and that the audit tells it."""

from __future__ import annotations

import re
from datetime import timedelta

from transqueue.access import Scope
from transqueue.admin.part import Part, Reload
from transqueue.api.overload import Overload
from transqueue.transaction import State


def form_of(text, name):
    return re.search(rf'name="{name}" value="([^"]*)"', text)[1]


def test_a_dead_one_is_retried_with_its_handlers_attempts_and_told_so(house, visitor):
    given = house.bury()
    visitor.do(f"/transactions/{given.id}/retry")
    found = house.queue.get(given.id)
    assert (found.state, found.max_attempts) == (State.QUEUED, 1 + 3)
    assert house.audited() == [("local", "transaction.retried", given.id)]
    assert "queued again" in visitor.see(f"/transactions/{given.id}")
    assert "queued again" not in visitor.see(f"/transactions/{given.id}")


def test_one_that_is_not_dead_is_left_alone_and_told_so(house, visitor):
    given = house.enqueue()
    visitor.do(f"/transactions/{given.id}/retry")
    assert "nothing was changed" in visitor.see(f"/transactions/{given.id}")
    assert house.audited() == []


def test_a_queued_one_is_cancelled(house, visitor):
    given = house.enqueue()
    visitor.do(f"/transactions/{given.id}/cancel")
    assert house.state(given) == "cancelled"
    assert house.audited() == [("local", "transaction.cancelled", given.id)]


def test_those_that_were_ticked_are_changed_and_no_others_and_the_filter_stays(house, visitor):
    first, second, third = house.bury(), house.bury(), house.bury()
    answer = visitor.do(
        "/transactions/selected", id=[first.id, third.id, "x", "1" * 21], verb="retry", back="state=dead"
    )
    assert answer.headers["Location"] == "/ui/transactions?state=dead"
    assert [house.state(one) for one in (first, second, third)] == ["queued", "dead", "queued"]
    assert "2 of 3" in visitor.see("/transactions")
    visitor.do("/transactions/selected", id=[second.id], verb="cancel")
    assert house.state(second) == "cancelled"


def test_nothing_ticked_changes_nothing(house, visitor):
    given = house.bury()
    visitor.do("/transactions/selected", verb="retry")
    visitor.do("/transactions/selected", id=[given.id], verb="drop")
    assert house.state(given) == "dead"


def test_a_type_is_paused_and_resumed_by_name(house):
    visitor = house.visitor(Scope.OPERATE)
    (key,) = house.queue.api_keys.all()
    visitor.client.post(
        "/ui/types/pay/pause",
        data={"csrf": visitor.token("/types/pay"), "reason": "the bank is closed"},
        headers={"Sec-Fetch-Site": "same-origin"},
    )
    pause = house.queue.paused()["pay"]
    assert (pause.by, pause.reason) == (f"key:{key.id}", "the bank is closed")
    assert "the bank is closed" in visitor.see("/types/pay")
    visitor.do("/types/pay/resume", csrf=visitor.token("/types/pay"))
    assert house.queue.paused() == {}
    assert [action for _, action, _ in house.audited() if action.startswith("type.")] == ["type.resumed", "type.paused"]


def test_what_nobody_claims_is_not_paused(house, visitor):
    visitor.do("/types/nothing/pause", 404)
    assert house.queue.paused() == {}


def test_a_cause_is_redriven_as_its_preview_said(house, visitor):
    dead = [house.bury(f"no account {number}") for number in range(3)]
    other = house.bury("no money")
    text = visitor.see("/failures/redrive?cause=pay+ValueError:+no+account+…")
    assert "<strong>3</strong> will be queued again" in text
    sent = {name: form_of(text, name) for name in ("cause", "until", "count")}
    late = house.bury("no account 99")
    visitor.do("/failures/redrive", pace="all", **sent)
    assert [house.state(one) for one in dead] == ["queued"] * 3
    assert house.state(other) == house.state(late) == "dead"
    ((by, action, target),) = house.audited()
    assert (by, action, target) == ("local", "cause.redriven", "pay ValueError: no account …")


def test_a_pace_spreads_what_is_redriven(house, visitor):
    dead = [house.bury(f"no account {number}") for number in range(3)]
    text = visitor.see("/failures/redrive?cause=pay+ValueError:+no+account+…")
    sent = {name: form_of(text, name) for name in ("cause", "until", "count")}
    visitor.do("/failures/redrive", pace="1", **sent)
    first, second, third = (house.queue.get(one.id).due_at for one in dead)
    assert second - first == third - second == timedelta(seconds=1)


def test_many_are_redriven_only_when_their_number_is_typed(house, visitor, monkeypatch):
    monkeypatch.setattr("transqueue.dashboard.failures.CONFIRMED_FROM", 2)
    monkeypatch.setattr("transqueue.dashboard.actions.CONFIRMED_FROM", 2)
    dead = [house.bury(f"no account {number}") for number in range(2)]
    text = visitor.see("/failures/redrive?cause=pay+ValueError:+no+account+…")
    assert 'name="confirm"' in text
    sent = {name: form_of(text, name) for name in ("cause", "until", "count")}
    for typed in ("", "1", "2x"):
        visitor.do("/failures/redrive", confirm=typed, **sent)
        assert {house.state(one) for one in dead} == {"dead"}
    visitor.do("/failures/redrive", confirm="2", **sent)
    assert {house.state(one) for one in dead} == {"queued"}


def test_a_preview_that_is_old_or_none_changes_nothing(house, visitor):
    given = house.bury()
    cause = "pay ValueError: no account …"
    for until in ("", "x", "2020-01-01T00:00:00+00:00", "2199-01-01T00:00:00+00:00"):
        visitor.do("/failures/redrive", cause=cause, until=until, count="1")
    assert house.state(given) == "dead"


def test_a_type_is_tried_without_storing_anything_and_then_submitted(house, visitor):
    text = visitor.do("/types/pay/try", 200, verb="check", data='{"name": "Bob"}').get_data(as_text=True)
    assert "would be accepted" in text
    assert "Bob" in text
    assert house.queue.page().transactions == []
    where = visitor.do("/types/pay/try", verb="submit", data='{"name": "Bob"}').headers["Location"]
    assert where.startswith("/ui/transactions/")
    (stored,) = house.queue.page().transactions
    assert (stored.type, stored.data) == ("pay", {"name": "Bob"})


def test_what_the_door_would_refuse_is_refused_with_its_words(house, visitor):
    for data, told in (
        ("{", "JSON"),
        ("{}", "data.name"),
        ('{"name": 5}', "data.name"),
        ('{"name": "a", "name": "b"}', "name"),
        ("[]", "data"),
        ('{"name": "a", "other": 1}', "data.other"),
    ):
        assert told in visitor.do("/types/pay/try", 200, verb="submit", data=data).get_data(as_text=True)
    assert house.queue.page().transactions == []


def test_a_key_for_some_types_tries_no_others(house):
    visitor = house.visitor(Scope.READ, Scope.SUBMIT, types=["invoice.*"])
    answer = visitor.client.post(
        "/ui/types/pay/try",
        data={"csrf": visitor.token("/types/pay"), "verb": "submit", "data": '{"name": "a"}'},
        headers={"Sec-Fetch-Site": "same-origin"},
    )
    assert answer.status_code == 403
    assert house.queue.page().transactions == []


def test_a_queue_that_is_too_deep_takes_nothing_from_a_page_either_and_what_was_typed_stays(house):
    house.overload = Overload(house.queue.measures, house.queue.clock, bound=1)
    house.enqueue(), house.enqueue()
    house.queue.measures.counted()
    house.overload.look()
    visitor = house.visitor()
    refused = visitor.client.post("/api/data/", json={"type": "pay", "data": {"name": "Bob"}})
    assert (refused.status_code, refused.json["code"]) == (503, "overloaded")
    text = visitor.do("/types/pay/try", 200, verb="submit", data='{"name": "Bob"}').get_data(as_text=True)
    assert "Too much waits already" in text
    assert "Bob" in text
    assert len(house.queue.page().transactions) == 2
    text = visitor.do("/types/pay/try", 200, verb="check", data='{"name": "Bob"}').get_data(as_text=True)
    assert "would be accepted" in text


def part(house, id, host, config_file="/etc/transqueue/config.yaml"):
    house.queue.parts.begin(Part(id=id, role="up", host=host, pid=4711, version="1", config_file=config_file))


def test_a_reload_is_asked_of_every_part_and_told_when_each_has_answered(house, visitor):
    part(house, "a", "here")
    part(house, "b", "there")
    visitor.do("/system/reload")
    request = house.queue.parts.beat("a")
    assert request
    assert house.queue.parts.beat("b") == request
    assert house.audited() == [("local", "config.reload_asked", "*")]
    text = visitor.see("/system")
    assert "2 parts were asked to reload" in text
    assert text.count("not answered yet") == 2
    house.queue.parts.tell("a", Reload(well=True, message="put to use", request=request))
    house.queue.parts.tell("b", Reload(well=False, message="line 3: <no> such key", request=request))
    text = visitor.see("/system")
    assert "not answered yet" not in text
    assert text.index("put to use") < text.index("refused")
    assert "line 3: &lt;no&gt; such key" in text
    assert "line 3: &lt;no&gt; such key" in visitor.see("/")  # and so the overview


def test_a_reload_is_asked_of_one_host(house, visitor):
    part(house, "a", "here")
    part(house, "b", "there")
    visitor.do("/system/reload", host="there")
    assert house.queue.parts.beat("a") == ""
    assert house.queue.parts.beat("b")
    assert house.audited() == [("local", "config.reload_asked", "there")]


def test_where_nothing_runs_nobody_is_asked_to_reload(house, visitor):
    visitor.do("/system/reload", host="nowhere")
    assert "nobody was asked" in visitor.see("/system")
    assert house.audited() == []
