"""What `transqueue api` serves next, when it is told to reload: judged in this process, before anything is touched."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace

from ..admin.part import Reload
from ..api.loading import Loader
from ..api.renewal import Renewal
from ..config import Config
from ..errors import ReloadRefused
from ..events import Events
from .judging import Judging, Ruling

LOOK_SECONDS = 0.05


class OwnRenewals:
    """The renewals of a process that nobody supervises.

    Args:
        loading: makes the loader of the application from a configuration.
        tell: where the outcome is kept.
    """

    def __init__(
        self,
        running: Ruling,
        *,
        loading: Callable[[Config], Loader],
        events: Events,
        tell: Callable[[Reload], None],
    ) -> None:
        self._running, self._loading, self._events, self._tell = running, loading, events, tell
        self._request = ""
        self._next: Ruling | None = None

    def ask(self, request: str) -> None:
        """Somebody asked through the database; safe from any thread."""
        if request != self._request:
            self._request = request
            os.kill(os.getpid(), signal.SIGHUP)

    def next(self, interrupted: Callable[[], bool]) -> Renewal | None:
        """The configuration as it is now.

        Raises:
            ReloadRefused: it cannot be put to use, and why.
        """
        self._events.emit("reload.asked", file=str(self._running.config.file))
        judging = Judging(self._running, lambda: None)
        while not judging.is_over:
            if interrupted():
                raise ReloadRefused("TransQueue is being stopped")
            time.sleep(LOOK_SECONDS)
        if judging.found is None:
            raise ReloadRefused(judging.refused)
        self._next = judging.found
        return Renewal(self._loading(self._next.config), frozenset(self._running.broken))

    def tell(self, reload: Reload) -> None:
        """How it ended."""
        if reload.well and self._next:
            self._running = self._next
            self._events.emit("reload.done")
        else:
            self._events.emit("reload.refused", reason=reload.message)
        self._tell(replace(reload, request=self._request))
