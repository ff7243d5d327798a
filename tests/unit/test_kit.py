"""The author's kit: the real door and the real worker in one process, on a clock that the test moves."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time

import pytest
from marshmallow import Schema, fields

from transqueue import Reject, RetryLater, handler
from transqueue.errors import ConfigInvalid
from transqueue.testing import (
    PluginBroken,
    SubmissionRefused,
    assert_enqueued,
    crash,
    fail_times,
    hang,
    refute_enqueued,
)
from transqueue.testing import (
    kit as kit_module,
)
from transqueue.testing.project import project_plugins

START_SECONDS = 0.5  # of the processor; it takes about a tenth of that


class Order(Schema):
    item = fields.String(required=True, metadata={"example": "tea"})


def helper(*_):
    """What a handler calls; tests put something else in its place."""


@handler("order", schema=Order, max_attempts=3, backoff_seconds=(10, 10), timeout_seconds=30)
def order(transaction, context):
    """Order something."""
    helper(transaction)
    context.enqueue("receipt", {"item": transaction.data["item"]})
    return {"ordered": transaction.data["item"], "attempt": transaction.attempt}


@handler("receipt")
def receipt(transaction, context):
    """Write a receipt."""
    return transaction.data


@handler("stock", transactional=True, ordering_key="item", max_attempts=2, backoff_seconds=(10, 10))
def stock(transaction, context):
    """Count stock."""
    context.db["Stock"].update_one({"_id": transaction.data["item"]}, {"$inc": {"n": 1}}, upsert=True)
    helper(transaction)
    return context.db["Stock"].find_one({"_id": transaction.data["item"]})["n"]


@handler("many", batch=True)
def many(transactions, context):
    """Take many at once."""
    return [len(transactions)] * len(transactions)


@pytest.fixture
def kit(make_tq):
    return make_tq(provides={"shop": [order, receipt, stock, many]})


@pytest.fixture
def instead(monkeypatch):
    """The function `instead(trouble)`: handlers meet it in place of `helper`."""
    return lambda trouble: monkeypatch.setitem(globals(), "helper", trouble)


def test_what_is_submitted_is_run_and_has_its_result(kit):
    id = kit.submit("order", {"item": "tea"})
    assert kit.get(id).state == "queued"
    kit.run()
    assert kit.get(id).state == "done"
    assert kit.get(id).result == {"ordered": "tea", "attempt": 1}


def test_the_door_refuses_what_it_refuses_over_http(kit):
    with pytest.raises(SubmissionRefused) as refused:
        kit.submit("order", {"item": 5})
    assert (refused.value.status, refused.value.code) == (400, "invalid_data")
    assert refused.value.errors == {"data.item": ["Not a valid string."]}
    with pytest.raises(SubmissionRefused, match="Did you mean 'order'"):
        kit.submit("ordre", {"item": "tea"})
    with pytest.raises(SubmissionRefused, match="colour"):
        kit.submit("order", {"item": "tea"}, colour="red")


def test_one_idempotency_key_makes_one_transaction(kit):
    first = kit.submit("order", {"item": "tea"}, idempotency_key="once")
    assert kit.submit("order", {"item": "tea"}, idempotency_key="once") == first
    with pytest.raises(SubmissionRefused) as refused:
        kit.submit("order", {"item": "milk"}, idempotency_key="once")
    assert refused.value.status == 422


def test_what_is_submitted_and_what_the_client_sends_come_through_one_door(kit):
    body = {"type": "order", "data": {"item": "tea"}}
    id = kit.submit("order", {"item": "tea"}, idempotency_key="k")
    replayed = kit.client.post("/api/data/", json=body, headers={"Idempotency-Key": "k"})
    assert (replayed.json["data"]["transaction_id"], replayed.headers["Idempotency-Replayed"]) == (id, "true")
    assert len(kit.transactions()) == 1


def test_any_other_request_goes_through_the_client(kit):
    id = kit.submit("order", {"item": "tea"})
    assert kit.client.get(f"/api/data/{id}").json["data"]["state"] == "queued"
    assert kit.client.post(f"/api/data/{id}/cancel").status_code == 200
    assert kit.get(id).state == "cancelled"


def test_follow_ups_run_too_and_can_be_asked_for(kit):
    kit.submit("order", {"item": "tea"})
    kit.run()
    assert assert_enqueued(kit, "receipt", {"item": "tea"}).state == "done"
    refute_enqueued(kit, "receipt", {"item": "milk"})
    with pytest.raises(AssertionError, match=r"no 'receipt' .* there is: .*tea"):
        assert_enqueued(kit, "receipt", {"item": "milk"})
    with pytest.raises(AssertionError, match="was enqueued"):
        refute_enqueued(kit, "receipt")


def test_a_retry_waits_until_the_clock_is_advanced(kit, instead):
    instead(fail_times(2, ConnectionError("no line")))
    id = kit.submit("order", {"item": "tea"})
    kit.run()
    assert kit.get(id).state == "queued"
    assert kit.get(id).error["message"] == "no line"
    assert 0 < kit.advance() <= 10
    kit.run()
    assert kit.get(id).attempts == 2
    kit.advance()
    kit.run()
    assert kit.get(id).result["attempt"] == 3


def test_attempts_run_out(kit, instead):
    instead(fail_times(3, ConnectionError))
    id = kit.submit("order", {"item": "tea"})
    for _ in range(2):
        kit.run()
        kit.advance()
    kit.run()
    assert kit.get(id).state == "dead"
    refute_enqueued(kit, "receipt")


def test_after_so_many_failures_comes_what_was_meant(instead, kit):
    instead(fail_times(1, then=lambda transaction: seen.append(transaction.attempt)))
    seen = []
    kit.submit("order", {"item": "tea"})
    kit.run()
    kit.advance(10)
    kit.run()
    assert seen == [2]


def test_time_goes_by_so_many_seconds_or_to_the_next_that_waits(kit):
    before = kit.clock.now()
    kit.submit("order", {"item": "tea"}, delay_seconds=90)
    kit.advance(30)
    kit.run()
    refute_enqueued(kit, "receipt")
    assert kit.advance() == 60
    assert (kit.clock.now() - before).total_seconds() == 90
    kit.run()
    assert_enqueued(kit, "receipt")
    with pytest.raises(RuntimeError, match="nothing waits"):
        kit.advance()


def test_one_attempt_is_performed_by_itself(kit):
    waiting = kit.submit("receipt", {"item": "milk"})
    done = kit.perform("order", {"item": "tea"}, attempt=3)
    assert (done.state, done.result, done.error) == ("done", {"ordered": "tea", "attempt": 3}, None)
    assert [one.type for one in done.follow_ups] == ["receipt"]
    assert kit.get(waiting).state == "queued"


def test_a_performed_attempt_may_fail(kit, instead):
    instead(fail_times(9, Reject("sold out")))
    assert kit.perform("order", {"item": "tea"}).error == "Reject: sold out"
    instead(fail_times(9, RetryLater("closed", after_seconds=60)))
    performed = kit.perform("order", {"item": "tea"})
    assert (performed.state, performed.error, performed.follow_ups) == ("queued", "RetryLater: closed", ())
    with pytest.raises(SubmissionRefused):
        kit.perform("order", {})


def test_what_cannot_be_next_is_not_performed(kit):
    kit.submit("stock", {"item": "tea"})
    with pytest.raises(RuntimeError, match="go before it"):
        kit.perform("stock", {"item": "tea"})
    assert kit.perform("stock", {"item": "milk"}).result == 1
    with pytest.raises(RuntimeError, match="must be due"):
        kit.perform("order", {"item": "tea"}, delay_seconds=5)


def test_a_crash_is_charged_and_the_next_worker_goes_on(kit, instead):
    instead(fail_times(0, then=crash))
    id = kit.submit("order", {"item": "tea"})
    other = kit.submit("receipt", {"item": "milk"})
    kit.run()
    assert kit.get(other).state == "done"
    assert (kit.get(id).state, kit.get(id).crashes, kit.get(id).attempts) == ("queued", 1, 1)
    assert kit.get(id).error["type"] == "WorkerDied"
    for _ in range(2):
        kit.advance()
        kit.run()
    assert (kit.get(id).state, kit.get(id).crashes) == ("dead", 3)


def test_no_handler_survives_its_crash(make_tq):
    @handler("stubborn")
    def stubborn(transaction, context):
        """Catch everything."""
        try:
            crash()
        except BaseException:
            return "alive"

    kit = make_tq(provides={"odd": [stubborn]})
    assert kit.perform("stubborn", {}).error.startswith("WorkerDied")


def test_async_handlers_are_run_too_and_die_as_others_do(make_tq):
    @handler("slow", timeout_seconds=0.2, max_attempts=1)
    async def slow(transaction, context):
        """Wait."""
        await asyncio.sleep(transaction.data["seconds"])
        if transaction.data.get("crash"):
            with contextlib.suppress(BaseException):
                crash()
        return "waited"

    kit = make_tq(provides={"odd": [slow]})
    assert kit.perform("slow", {"seconds": 0}).result == "waited"
    assert kit.perform("slow", {"seconds": 0, "crash": True}).error.startswith("WorkerDied")
    late = kit.perform("slow", {"seconds": 60})
    assert (late.state, "0.2 s" in late.error) == ("dead", True)


def test_a_hang_costs_no_time_and_ends_as_a_timeout(kit, instead):
    instead(hang)
    assert kit.perform("order", {"item": "tea"}).error == (
        "WorkerDied: its handler did not end within 30 s; the worker was killed"
    )


def test_a_handler_that_really_hangs_is_ended(make_tq):
    @handler("stuck", timeout_seconds=0.2)
    def stuck(transaction, context):
        """Wait for what never comes."""
        threading.Event().wait(60)

    assert "did not end within 0.2 s" in make_tq(provides={"odd": [stuck]}).perform("stuck", {}).error


def test_effects_are_kept_with_the_completion_and_discarded_otherwise(kit, instead):
    assert kit.perform("stock", {"item": "tea"}).result == 1
    instead(crash)
    kit.perform("stock", {"item": "tea"})
    assert kit.database["Stock"].find_one({"_id": "tea"})["n"] == 1


def test_a_retry_holds_back_its_key_and_no_other(kit, instead):
    instead(lambda transaction: 1 / 0 if transaction.data.get("bad") and transaction.attempt == 1 else None)
    ids = [kit.submit("stock", data) for data in ({"item": "tea", "bad": 1}, {"item": "tea"}, {"item": "milk"})]
    kit.run()
    assert [str(kit.get(id).state) for id in ids] == ["queued", "queued", "done"]
    kit.advance()
    kit.run()
    assert [kit.get(id).result for id in ids] == [1, 2, 1]


def test_what_is_due_together_comes_to_a_batch_handler_together(kit):
    ids = [kit.submit("many", {}) for _ in range(5)]
    kit.run()
    assert {kit.get(id).result for id in ids} == {5}


def test_a_handler_that_retries_at_once_for_ever_is_noticed(make_tq, monkeypatch):
    monkeypatch.setattr(kit_module, "TURNS", 20)

    @handler("eager")
    def eager(transaction, context):
        """Never be content."""
        raise RetryLater(after_seconds=0)

    kit = make_tq(provides={"odd": [eager]})
    kit.submit("eager", {})
    with pytest.raises(RuntimeError, match="retry without a wait"):
        kit.run()


def test_events_can_be_looked_at(kit, instead):
    instead(crash)
    kit.perform("order", {"item": "tea"})
    assert [event.name for event in kit.events if event.name.startswith("worker")] == ["worker.died"]


def test_it_starts_in_a_moment(make_tq):
    took = []
    for _ in range(3):
        began = time.process_time()
        make_tq(provides={"shop": [order, receipt, stock, many]})
        took.append(time.process_time() - began)
    assert min(took) < START_SECONDS


def test_the_configuration_is_judged_as_strictly_as_a_file(make_tq):
    provides = {"shop": [order, receipt]}
    with pytest.raises(ConfigInvalid, match="max_attempt"):
        make_tq({"plugins": {"shop": {"handlers": {"order": {"max_attempt": 1}}}}}, provides=provides)
    kit = make_tq({"plugins": {"shop": {"handlers": {"order": {"max_attempts": 1}}}}}, provides=provides)
    assert kit.types["order"].max_attempts == 1


def test_a_broken_plugin_is_told_at_once(make_tq):
    with pytest.raises(PluginBroken, match="twice"):
        make_tq(provides={"odd": [receipt, receipt]})
    with pytest.raises(PluginBroken, match="no plugin 'gret' is installed; did you mean 'greet'"):
        make_tq({"plugins": {"gret": {}}})


def test_the_project_under_test_is_found_by_its_pyproject(tmp_path):
    (tmp_path / "tests" / "deep").mkdir(parents=True)
    assert project_plugins(tmp_path / "tests") == {}
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "acme-shop"\nversion = "2.1"\n'
        '[project.entry-points."transqueue.plugins"]\nshop = "acme_shop"\n'
    )
    found = project_plugins(tmp_path / "tests" / "deep")["shop"]
    assert (found.name, found.value, found.distribution, found.version) == ("shop", "acme_shop", "acme-shop", "2.1")
