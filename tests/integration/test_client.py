"""`transqueue.client`: an application's own writes and a transaction together, checked as the door checks."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor

import pytest
from pymongo import MongoClient

from transqueue.client import Client, SubmissionRefused
from transqueue.errors import ConfigInvalid
from transqueue.submission import SINGLE_BYTES


@pytest.fixture(scope="module")
def app_client(mongo_uri):
    """The application's client, as an application would make it."""
    with MongoClient(mongo_uri) as client:
        yield client


@pytest.fixture
def config_file(tmp_path, mongo_uri, mongo_database):
    plugins = {"greet": {}, "ledger": {}, "nowhere": {"handlers": {"gone": {"max_attempts": 2}}}}
    file = tmp_path / "config.yaml"
    file.write_text(json.dumps({"mongodb": {"uri": mongo_uri, "database": mongo_database}, "plugins": plugins}))
    file.chmod(0o600)
    return file


@pytest.fixture
def client(config_file, app_client):
    made = Client(config_file, mongo=app_client)
    yield made
    made.close()


@pytest.fixture
def q(app_client, mongo_database):
    return app_client[mongo_database]["Q"]


def test_a_transaction_is_stored_as_the_door_stores_it(client, q):
    id = client.enqueue("greet", {"name": "Ada"}, delay_seconds=60, priority=3)
    (stored,) = q.find()
    assert (stored["_id"], stored["type"], stored["data"], stored["state"]) == (id, "greet", {"name": "Ada"}, "queued")
    assert (stored["plugin"]["name"], stored["submitter"], stored["priority"]) == ("greet", "local", 3)
    assert stored["due_at"] > stored["created_at"]


def test_the_applications_writes_and_the_transaction_commit_together(client, app_client, mongo_database, q):
    orders = app_client[mongo_database]["orders"]
    with app_client.start_session() as session, session.start_transaction():
        orders.insert_one({"_id": 1}, session=session)
        id = client.enqueue("deposit", {"username": "ann", "value": 5}, session=session)
        assert q.find_one({"_id": id}) is None
    assert q.find_one({"_id": id})["accepted"].time > 0
    assert orders.count_documents({}) == 1


def test_what_is_aborted_leaves_neither(client, app_client, mongo_database, q):
    orders = app_client[mongo_database]["orders"]
    with app_client.start_session() as session:
        session.start_transaction()
        orders.insert_one({"_id": 1}, session=session)
        client.enqueue("greet", {"name": "Ada"}, session=session)
        session.abort_transaction()
    assert (orders.count_documents({}), q.count_documents({})) == (0, 0)


def test_a_key_is_accepted_once_with_and_without_a_session(client, app_client, q):
    first = client.enqueue("greet", {"name": "Ada"}, idempotency_key="order-1")
    with app_client.start_session() as session, session.start_transaction():
        assert client.enqueue("greet", {"name": "Ada"}, idempotency_key="order-1", session=session) == first
        second = client.enqueue("greet", {"name": "Bob"}, idempotency_key="order-2", session=session)
    assert client.enqueue("greet", {"name": "Bob"}, idempotency_key="order-2") == second
    with app_client.start_session() as session, session.start_transaction():
        for given in ({"session": session}, {}):
            with pytest.raises(SubmissionRefused) as refusal:
                client.enqueue("greet", {"name": "Eve"}, idempotency_key="order-1", **given)
            assert (refusal.value.status, refusal.value.code) == (422, "idempotency_key_reused")
    assert q.count_documents({}) == 2


def test_two_sessions_with_one_key_at_once_store_one(client, app_client, q, wait_until):
    tries = []

    def again(session):
        tries.append(1)
        return client.enqueue("greet", {"name": "Ada"}, idempotency_key="k", session=session)

    def second():
        with app_client.start_session() as session:
            return session.with_transaction(again)

    with ThreadPoolExecutor(1) as pool, app_client.start_session() as session:
        with session.start_transaction():
            first = client.enqueue("greet", {"name": "Ada"}, idempotency_key="k", session=session)
            later = pool.submit(second)
            wait_until(lambda: len(tries) > 1, message="the second one met the first one's key")
        assert later.result(30) == first
    assert q.count_documents({}) == 1


@pytest.mark.parametrize(
    ("type", "data", "more", "status", "said"),
    [
        ("greeet", {"name": "Ada"}, {}, 400, "Did you mean 'greet'?"),
        ("greet", {"name": 5}, {}, 400, "data.name: Not a valid string."),
        ("greet", {"name": "Ada"}, {"priority": 11}, 400, "options.priority"),
        ("greet", {"name": "Ada"}, {"later": 1}, 400, "options.later: Unknown field."),
        ("gone", {}, {}, 503, "no plugin 'nowhere' is installed"),
        ("greet", {"name": "Ada"}, {"idempotency_key": "a b"}, 400, "visible ASCII"),
        ("greet", {"name": "A" * SINGLE_BYTES}, {}, 413, "larger than"),
        ("greet", {"name": "Ada", "$set": 1}, {}, 400, "starts with '$'"),
    ],
)
def test_what_the_door_refuses_is_refused(client, q, type, data, more, status, said):
    with pytest.raises(SubmissionRefused) as refusal:
        client.enqueue(type, data, **more)
    assert refusal.value.status == status
    assert said in refusal.value.message
    assert q.count_documents({}) == 0


def test_what_is_not_json_is_an_error_of_the_caller(client):
    with pytest.raises(TypeError, match="not a JSON value"):
        client.enqueue("greet", {"name": object()})


def test_a_session_without_an_open_transaction_is_refused(client, app_client):
    with app_client.start_session() as session, pytest.raises(ValueError, match="start_transaction"):
        client.enqueue("greet", {"name": "Ada"}, session=session)


def test_another_submitter_has_keys_of_its_own(config_file, app_client, client, q):
    other = Client(config_file, mongo=app_client, submitter="billing")
    ids = {one.enqueue("greet", {"name": "Ada"}, idempotency_key="k") for one in (client, other)}
    assert len(ids) == 2
    assert sorted(one["submitter"] for one in q.find()) == ["billing", "local"]


def test_without_a_client_of_the_applications_it_opens_its_own_and_closes_only_that(config_file, app_client, q):
    own = Client(config_file)
    assert q.find_one({"_id": own.enqueue("greet", {"name": "Ada"})})
    own.close()
    Client(config_file, mongo=app_client).close()
    assert app_client.admin.command("ping")["ok"] == 1


def test_a_plugin_that_does_not_work_is_told_to_the_log(config_file, app_client, caplog):
    with caplog.at_level(logging.WARNING, "transqueue"):
        Client(config_file, mongo=app_client)
    assert ["nowhere" in line.getMessage() for line in caplog.records if line.name == "transqueue"] == [True]


@pytest.mark.parametrize("crash", ["os.kill(os.getpid(), signal.SIGSEGV)", "os._exit(0)"])
def test_a_plugin_that_nobody_survives_takes_no_application_down(config_file, app_client, tmp_path, monkeypatch, crash):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "acme_crash.py").write_text(f"import os, signal\n{crash}\n")
    information = tmp_path / "acme_crash-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-crash\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[transqueue.plugins]\ncrash = acme_crash\n")
    config = json.loads(config_file.read_text())
    config["plugins"]["crash"] = {"handlers": {"crash": {"max_attempts": 2}}}
    config_file.write_text(json.dumps(config))
    client = Client(config_file, mongo=app_client)
    assert client.enqueue("greet", {"name": "Ada"})
    with pytest.raises(SubmissionRefused, match="loading it ends the process that does so") as refused:
        client.enqueue("crash", {})
    assert refused.value.status == 503


def test_a_wrong_configuration_is_refused(tmp_path):
    with pytest.raises(ConfigInvalid):
        Client(tmp_path / "none.yaml")
