"""A replica set of one on a mongod just started: initiated when it is new, repaired when its port has changed.

Everything asked goes straight to the one server, and nothing is changed before its process id shows that it is ours
and not a stranger's on the same port.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from .instance import Instance

NOT_YET_INITIALIZED = 94
SELECTION_MILLISECONDS = 1000


class SingleNode:
    """What is known of, and done to, the node at `instance.address`."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._client: MongoClient[dict[str, Any]] = MongoClient(
            "127.0.0.1", instance.port, directConnection=True, serverSelectionTimeoutMS=SELECTION_MILLISECONDS
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def is_ours(self) -> bool:
        """The server that answers is the process of the instance."""
        try:
            return bool(self._ask("serverStatus")["pid"] == self._instance.pid)
        except PyMongoError:
            return False

    def takes_writes(self) -> bool:
        """It is the primary of the set of our name. If it has no valid configuration, it is given one for next time."""
        try:
            hello = self._ask("hello")
            if "setName" not in hello:
                self._configure()
        except PyMongoError:  # it is still coming up; the next turn tells
            return False
        return bool(hello["isWritablePrimary"] and hello.get("setName") == self._instance.replica_set)

    def name_in_data(self) -> str | None:
        """The set's name that the data was given when it was new; none while there is none."""
        try:
            name: str = self._configuration()["_id"]
        except PyMongoError:
            return None
        return name

    def _configure(self) -> None:
        try:
            configuration = self._configuration()
        except OperationFailure as error:
            if error.code == NOT_YET_INITIALIZED:
                self._initiate()
            return
        if configuration["_id"] == self._instance.replica_set:
            self._repair(configuration)

    def _initiate(self) -> None:
        members = [{"_id": 0, "host": self._instance.address}]
        self._ask("replSetInitiate", {"_id": self._instance.replica_set, "members": members})

    def _repair(self, configuration: dict[str, Any]) -> None:
        """A node that finds no member of its own address waits for one; only a forced reconfiguration is accepted."""
        (member,) = configuration["members"]
        if member["host"] != self._instance.address:
            member["host"] = self._instance.address
            configuration["version"] += 1
            self._ask("replSetReconfig", configuration, force=True)

    def _configuration(self) -> dict[str, Any]:
        configuration: dict[str, Any] = self._ask("replSetGetConfig")["config"]
        return configuration

    def _ask(self, command: str, value: Any = 1, **options: Any) -> dict[str, Any]:
        return self._client.admin.command(command, value, **options)
