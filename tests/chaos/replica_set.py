"""A replica set of one or three real nodes on loopback, whose nodes can be killed, stopped and started again.

Start, and start again, from one thread that lives as long as the set: every mongod dies with the thread that started
it, so none outlives the run.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pymongo
from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from transqueue.mongodb.binary import find_mongod
from transqueue.mongodb.guard import spawn
from transqueue.mongodb.instance import free_port

NAME = "chaos"
ELECTION = {"electionTimeoutMillis": 1000, "heartbeatIntervalMillis": 200}
READY_SECONDS = 60.0
ASK_MILLISECONDS = 400
ALREADY_INITIALIZED = 23


class ReplicaSet:
    """The nodes, and which of them is the primary now. With `test_commands` they have failpoints."""

    def __init__(self, folder: Path, nodes: int, *, test_commands: bool = False) -> None:
        extra = ("--setParameter", "enableTestCommands=1") if test_commands else ()
        self.nodes = [Node(folder / f"node{number}", extra) for number in range(nodes)]

    @property
    def uri(self) -> str:
        return f"mongodb://{','.join(node.address for node in self.nodes)}/?replicaSet={NAME}"

    def start(self) -> None:
        """Start all nodes and make them a set; returns when it takes writes."""
        for node in self.nodes:
            node.start()
        self._until(lambda: all(node.ask("ping") for node in self.nodes))
        members = [{"_id": number, "host": node.address} for number, node in enumerate(self.nodes)]
        configuration = {"_id": NAME, "members": members, "settings": ELECTION}
        self._until(lambda: self.nodes[0].initiate(configuration))
        self._until(self.is_well)

    def primary(self) -> Node | None:
        """The node that takes writes, if one does."""
        return next((node for node in self.nodes if node.ask("hello").get("isWritablePrimary")), None)

    def is_well(self) -> bool:
        """Whether there is a primary, and all others follow it."""
        told = [node.ask("hello") for node in self.nodes]
        follow = [hello for hello in told if hello.get("isWritablePrimary") or hello.get("secondary")]
        return len(follow) == len(self.nodes) and any(hello.get("isWritablePrimary") for hello in told)

    def watch(self) -> None:
        """Start again what has died."""
        for node in self.nodes:
            node.watch()

    def close(self) -> None:
        for node in self.nodes:
            node.close()

    def _until(self, condition: Any) -> None:
        limit = time.monotonic() + READY_SECONDS
        while not condition():
            if time.monotonic() > limit:
                raise TimeoutError(f"the replica set is not ready after {READY_SECONDS:g} s")
            time.sleep(0.05)


class Node:
    """One mongod."""

    def __init__(self, folder: Path, extra_arguments: Sequence[str] = ()) -> None:
        folder.mkdir(parents=True)
        self._extra_arguments = extra_arguments
        self._folder, self._port = folder, free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._client: MongoClient[dict[str, Any]] = MongoClient(
            "127.0.0.1",
            self._port,
            directConnection=True,
            serverSelectionTimeoutMS=ASK_MILLISECONDS,
            timeoutMS=ASK_MILLISECONDS,
        )
        self._not_before = 0.0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        with (self._folder / "out").open("ab") as out:
            self._process = spawn(self._arguments(), os.environ, out.fileno())

    def ask(self, command: str | Mapping[str, Any]) -> dict[str, Any]:
        """What this node answers; nothing when it does not."""
        try:
            return self._client.admin.command(command)
        except PyMongoError:
            return {}

    def initiate(self, configuration: Mapping[str, Any]) -> bool:
        """Make it the first of a set. On a busy machine that takes long, and may have been done unheard."""
        try:
            with pymongo.timeout(READY_SECONDS):
                self._client.admin.command({"replSetInitiate": configuration})
        except PyMongoError as error:
            return isinstance(error, OperationFailure) and error.code == ALREADY_INITIALIZED
        return True

    def kill(self, *, down_seconds: float) -> None:
        """End it now; it comes back after a while."""
        self._not_before = time.monotonic() + down_seconds
        self._signal(signal.SIGKILL)

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def watch(self) -> None:
        """Start it again when it has died and its time has come."""
        if self._process and self._process.poll() is not None and time.monotonic() >= self._not_before:
            self.start()

    def close(self) -> None:
        self._client.close()
        self._signal(signal.SIGKILL)
        if self._process:
            self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(number)

    def _arguments(self) -> list[str]:
        return [
            str(find_mongod(os.environ)),
            *("--replSet", NAME, "--bind_ip", "127.0.0.1", "--port", str(self._port), "--nounixsocket"),
            *("--dbpath", str(self._folder), "--logpath", str(self._folder / "log"), "--logappend", "--quiet"),
            *("--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "256", "--noscripting"),
            *("--wiredTigerEngineConfigString", "log=(file_max=4MB,prealloc=false)"),
            *("--networkMessageCompressors", "disabled"),
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
            *("--setParameter", "transactionLifetimeLimitSeconds=10"),
            *self._extra_arguments,
        ]
