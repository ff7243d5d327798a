"""A window on a real mongod, as Flask's client sees it: whoever looks, with whatever key, or none."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jinja2 import FileSystemBytecodeCache
from marshmallow import Schema, fields
from pymongo import MongoClient

from transqueue import Handler
from transqueue.access import Guard, Keyring, Scope, Strangers
from transqueue.api.app import create_app
from transqueue.api.overload import Overload
from transqueue.api.window import window
from transqueue.config import ApiConfig, Config, PluginConfig
from transqueue.events import Event, Events
from transqueue.mongodb import MongoQueue, connect
from transqueue.outcome import Outcome, Verb
from transqueue.plugins import PluginState
from transqueue.queue import Settlement, WorkerRecord
from transqueue.transaction import Transaction, TransactionIds

SAME_SITE = {"Sec-Fetch-Site": "same-origin"}
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


class Payment(Schema):
    name = fields.String(required=True, metadata={"example": "Ada"})
    value = fields.Integer()


def pay(transaction: Any, context: Any) -> None:
    """Pay somebody."""


HANDLERS = {
    type: Handler(type=type, target=pay, schema=Payment(), plugin="bank", version="2.0", max_attempts=3)
    for type in ("pay", "invoice.*")
}


class Claims:
    """A table written down by hand."""

    broken: tuple[PluginState, ...] = ()

    def resolve(self, type: str, /) -> Handler | None:
        return HANDLERS.get("invoice.*" if type.startswith("invoice.") else type)

    def types(self) -> Any:
        return HANDLERS

    def parked(self, type: str, /) -> str | None:
        return "it could not be imported" if type == "lost" else None

    def vetters(self) -> Any:
        return ()

    def states(self) -> Any:
        return [PluginState(name="bank", state="ok", version="2.0", types=[*HANDLERS]), *self.broken]


class Visitor:
    """Somebody who looks through the window with a browser."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client

    def see(self, path: str, status: int = 200, **headers: str) -> str:
        """The page at a path below /ui."""
        answer = self.client.get(f"/ui{path}", headers=headers)
        assert answer.status_code == status, answer.get_data(as_text=True)[:2000]
        return answer.get_data(as_text=True)

    def token(self, path: str = "/login") -> str:
        """What a form of a page sends along."""
        found = re.search(r'name="csrf" value="([^"]+)"', self.see(path))
        assert found
        return found[1]

    def do(self, path: str, status: int = 303, headers: Any = SAME_SITE, csrf: str | None = None, **form: Any) -> Any:
        """Send a form of the present session."""
        sent = {"csrf": self.token() if csrf is None else csrf, **form}
        answer = self.client.post(f"/ui{path}", data=sent, headers=headers)
        assert answer.status_code == status, answer.get_data(as_text=True)[:2000]
        return answer

    def log_in(self, key: str, status: int = 303, next: str = "") -> Any:
        return self.do("/login", status, key=key, next=next)


class House:
    """A queue with its window, and short words for what tests need of it."""

    def __init__(self, queue: MongoQueue) -> None:
        self.queue, self.claims, self.heard = queue, Claims(), list[Event]()
        self._ids, self._workers = TransactionIds(), 0
        self.config = Config(
            api=ApiConfig(), plugins={"bank": PluginConfig(config={"password": "hunter2", "url": "http://u:pw@h/"})}
        )

        self.overload = Overload(queue.measures, queue.clock, self.config.api.max_queued)

    def app(self) -> Flask:
        queue, events = self.queue, Events(self.heard.append)
        guard = Guard(Keyring(queue.api_keys, queue.clock), Strangers(events, None), loopback=True)
        ui = window(queue, self.claims, self.config, events, guard, self.overload)
        return create_app(
            queue=queue,
            table=self.claims,
            config=self.config,
            clock=queue.clock,
            events=events,
            guard=guard,
            overload=self.overload,
            dashboard=ui,
        )

    def visitor(self, *scopes: Scope, types: Any = None) -> Visitor:
        """Somebody new, logged in with a new key that has these scopes, if any."""
        visitor = Visitor(self.app().test_client())
        if scopes:
            visitor.log_in(self.queue.api_keys.create("ann", scopes, types=types).text)
        return visitor

    def new(self, type: str = "pay", data: Any = None, **more: Any) -> Transaction:
        now = self.queue.clock.now()
        given = {"created_at": now, "due_at": now - timedelta(seconds=1), "max_attempts": 3, "submitter": "ann"}
        return Transaction(id=self._ids.next(now), type=type, data=data or {"name": "Ada"}, **given | more)

    def enqueue(self, type: str = "pay", data: Any = None, **more: Any) -> Transaction:
        return self.queue.enqueue([self.new(type, data, **more)])[0].transaction

    def lease(self, type: str = "pay") -> Transaction:
        self._workers += 1
        worker = WorkerRecord(id=f"w{self._workers}", host="here", pid=4711, slot=0, sessions=self.queue.sessions)
        self.queue.begin(worker, lease_seconds=600)
        (leased,) = self.queue.lease(worker.id, type, limit=1)
        return leased

    def bury(self, message: str = "no account 17", type: str = "pay", **more: Any) -> Transaction:
        self.enqueue(type, **more)
        leased = self.lease(type)
        error = {"type": "ValueError", "message": message, "traceback": f"File x\n{message}"}
        self.queue.settle([Settlement(leased, Outcome(verb=Verb.BURY, error=error))])
        found = self.queue.get(leased.id)
        assert found is not None
        return found

    def state(self, transaction: Transaction) -> str:
        found = self.queue.get(transaction.id)
        assert found is not None
        return str(found.state)

    def audited(self) -> list[tuple[str, str, str]]:
        return [(entry.by, entry.action, entry.target) for entry in self.queue.audit.page().entries]


@pytest.fixture(scope="session", autouse=True)
def compiled_templates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Templates are compiled once, not for each application that a test makes."""
    cache = FileSystemBytecodeCache(str(tmp_path_factory.mktemp("templates")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Flask, "jinja_options", {"bytecode_cache": cache})
        yield


@pytest.fixture(scope="session")
def window_queue(mongo_uri: str, mongo_client: MongoClient[dict[str, Any]]) -> Iterator[MongoQueue]:
    """One queue for all of these tests: making its indexes takes longer than most of them."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    queue = connect(mongo_uri, name)
    yield queue
    queue.close()
    mongo_client.drop_database(name)


@pytest.fixture
def house(window_queue: MongoQueue) -> House:
    """An empty queue, and its window."""
    for name in window_queue.database.list_collection_names():
        if name != "Secrets":
            window_queue.database[name].delete_many({})
    return House(window_queue)


@pytest.fixture(scope="session")
def house_on() -> Callable[[MongoQueue], House]:
    """The function `house_on(queue)`: a window on another queue."""
    return House


@pytest.fixture
def visitor(house: House) -> Visitor:
    """Somebody on this machine, while there are no keys."""
    return house.visitor()


@pytest.fixture
def sent_by(house: House) -> Callable[..., Visitor]:
    """The function `sent_by(*scopes)`."""
    return house.visitor
