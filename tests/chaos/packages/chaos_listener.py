"""Tells a worker's window from the commands that it sends to MongoDB, and widens the narrow ones a little.

The product has no hooks for this: PyMongo's global listeners hear every client that is made after `register`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import chaos_windows as windows
from pymongo import monitoring

LINGER_SECONDS = 0.025


def register() -> None:
    """Listen to every client made from now on."""
    monitoring.register(Listener())


class Listener(monitoring.CommandListener):
    """Follows one worker through leasing, its session, and the commit."""

    def __init__(self) -> None:
        self._leasing = False  # the session under way takes leases on keyed transactions
        self._fence = False  # the command under way is the fence

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if not windows.is_worker():
            return
        command = event.command
        collection = command.get(event.command_name)
        self._fence = False
        if event.command_name == "commitTransaction":
            windows.enter(windows.LEASING if self._leasing else windows.COMMITTING)
        elif event.command_name == "abortTransaction":
            windows.enter(windows.BETWEEN)
        elif command.get("autocommit") is False:
            self._in_session(event.command_name, collection, starts=bool(command.get("startTransaction")))
        elif event.command_name == "findAndModify" and collection == "Q":
            windows.enter(windows.LEASING)
        elif event.command_name == "update" and collection == "Q":
            windows.enter(windows.LEASING if _leases(command) else windows.SETTLING)
        elif "hint" in command:  # it looks for what is due
            windows.enter(windows.BETWEEN)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        if not windows.is_worker():
            return
        if self._fence:
            self._fence = False
            windows.enter(windows.AFTER_FENCE)
            windows.linger(LINGER_SECONDS)
        elif event.command_name == "commitTransaction":
            windows.enter(windows.LEASING if self._leasing else windows.COMMITTED)
            windows.linger(LINGER_SECONDS)
        elif event.command_name in {"update", "findAndModify"}:
            windows.linger(LINGER_SECONDS)

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        if windows.is_worker():
            self._fence = False
            windows.enter(windows.BETWEEN)

    def _in_session(self, name: str, collection: Any, *, starts: bool) -> None:
        if starts:
            self._leasing = collection == "Lanes"
        if self._leasing:
            windows.enter(windows.LEASING)
        elif collection != "Q":
            windows.enter(windows.HANDLER)
        elif name == "update":
            windows.enter(windows.BEFORE_FENCE)
            windows.linger(LINGER_SECONDS)
            self._fence = True


def _leases(command: Mapping[str, Any]) -> bool:
    update = command["updates"][0]["u"]
    return isinstance(update, Mapping) and update.get("$set", {}).get("state") == "running"
