"""PyMongo's face on the simulated store, as far as the queue and the handlers use it.

What a session does when something goes wrong is PyMongo's own code (`with_transaction`); so are its errors and its
deadlines. Everything else is small: each call is one command, which the network carries out, delays, or loses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from .collection import Collection
from .command import Command, Network
from .session import BOUND, ClientSession, seconds_left
from .store import Document, Steps


class Client:
    """A client of one process."""

    def __init__(self, network: Network, name: str = "", listeners: Sequence[Any] = ()) -> None:
        self.network, self.name, self.listeners = network, name, listeners
        self.admin = SimpleNamespace(command=self._admin)

    def __getitem__(self, name: str) -> Database:
        return Database(self, name)

    def get_database(self, name: str, **_: Any) -> Database:
        return Database(self, name)

    def close(self) -> None: ...

    def start_session(self, **_: Any) -> ClientSession:
        return ClientSession(self, {"id": self.network.store.new_session_id()})

    def call(
        self, name: str, session: ClientSession | None, made: Callable[[Any], Steps], *, writes: bool = False
    ) -> Any:
        """Have one command done, in a session or outside."""
        timeout, session = seconds_left(), session or BOUND.get()
        if session is None or not session.in_transaction:
            return self.network.call(self.name, Command(name, lambda: made(None), timeout, writes=writes))
        return session.call(name, made, timeout, writes=writes)

    def _admin(self, command: str, value: Any = 1) -> Document:
        store = self.network.store
        if command == "hello":
            local = store.now().replace(tzinfo=None)
            return {"setName": "simulated", "maxWireVersion": 17, "localTime": local, "isWritablePrimary": True}
        if command == "replSetGetConfig":
            return {"config": {"writeConcernMajorityJournalDefault": True}}
        if command == "ping":
            return {"ok": 1}
        if command != "killSessions":
            raise NotImplementedError(f"the simulated store does not know {command}: add it to {__name__}")

        def kill(_: Any) -> Steps:
            yield from ()
            store.kill_sessions(value)
            return {"ok": 1}

        return self.call(command, None, kill)


class Database:
    """A database: its collections by name."""

    def __init__(self, client: Client, name: str) -> None:
        self.client, self.name, self._collections = client, name, dict[str, Collection]()

    def __getitem__(self, name: str) -> Collection:
        if name not in self._collections:
            self._collections[name] = Collection(self, name)
        return self._collections[name]

    def __getattr__(self, name: str) -> Collection:
        return self[name]

    def get_collection(self, name: str, **_: Any) -> Collection:
        return self[name]

    def with_options(self, **_: Any) -> Database:
        return self

    def command(self, command: str, name: str, *, query: Mapping[str, Any], limit: int = 0, **_: Any) -> Document:
        if command != "count":
            raise NotImplementedError(f"the simulated store does not know {command}: add it to {__name__}")
        return {"n": len(list(self[name].find(query, {"_id": 1}).limit(limit)))}

    def list_collection_names(self) -> list[str]:
        return sorted(self.client.network.store.latest)
