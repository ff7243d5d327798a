"""A command to the server, and what carries it there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from .store import Steps, Store


@dataclass(slots=True)
class Command:
    """One command to the server: what it does there, made when it arrives."""

    name: str
    steps: Callable[[], Steps]
    timeout: float
    in_session: bool = False
    writes: bool = False


class Network(Protocol):
    """Carries commands to the store."""

    store: Store

    def call(self, caller: str, command: Command) -> Any:
        """The answer of the server.

        Raises:
            PyMongoError: what the server, or the network, has to say.
        """
