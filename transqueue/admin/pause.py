"""Paused types: an operator's word that no more transactions of a type, or of a family, are started.

It is kept with the queue, so it holds on every host and outlives restarts. What is running ends; what waits keeps its
place, and so do the later ones of its ordering key.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

OBEYED_SECONDS = 1.0  # how soon every worker on every host keeps to it
REASON_LENGTH = 500


@dataclass(frozen=True, slots=True)
class Pause:
    """Who paused a type, when, and why."""

    by: str
    at: datetime
    reason: str = ""


def covers(paused: str, type: str) -> bool:
    """Whether a pause of `paused`, a type or a family that ends in `.*`, holds for `type`."""
    return type == paused or (paused.endswith(".*") and type.startswith(paused.removesuffix("*")))


def pause_of(type: str, paused: Mapping[str, Pause]) -> tuple[str, Pause] | None:
    """The pause that holds for a type, with what it was said of: the type itself before its families."""
    names = sorted((name for name in paused if covers(name, type)), key=lambda name: (name != type, -len(name)))
    return (names[0], paused[names[0]]) if names else None


class Pausing(ABC):
    """The verbs of a queue whose types can be paused."""

    @abstractmethod
    def pause(self, type: str, *, by: str, reason: str = "") -> bool:
        """From within a second on, on all hosts, start no more of a type, or of a family that ends in `.*`.

        False: it was paused already, and that word stands.
        """

    @abstractmethod
    def resume(self, type: str) -> bool:
        """Take the word back. False: this very type, or family, was not paused."""

    @abstractmethod
    def paused(self) -> Mapping[str, Pause]:
        """What is paused: types, and families that end in `.*`."""
