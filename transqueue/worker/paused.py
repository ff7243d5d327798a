"""What an operator paused, as one worker keeps to it: looked up a few times a second, believed in between."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress

from ..admin.pause import Pause, Pausing, pause_of
from ..errors import QueueUnavailable

LOOK_SECONDS = 0.25  # within a second of the word, with what a worker has in its hands


class PausedTypes:
    """The paused types, never older than a moment while the database answers; else as they last were."""

    def __init__(self, queue: Pausing, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._queue, self._monotonic = queue, monotonic
        self._looked, self._paused = float("-inf"), dict[str, Pause]()

    def among(self, types: Collection[str]) -> list[str]:
        """Those of `types` that are paused now."""
        paused = self._now()
        return [type for type in types if pause_of(type, paused)] if paused else []

    def _now(self) -> Mapping[str, Pause]:
        if self._monotonic() - self._looked >= LOOK_SECONDS:
            with suppress(QueueUnavailable):  # whoever leases or settles next is told
                self._paused = dict(self._queue.paused())
            self._looked = self._monotonic()
        return self._paused
