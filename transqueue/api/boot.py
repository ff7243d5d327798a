"""The boot of the process that answers requests, as its front process sees it: whose code it is about to run.

The note is memory that both share, so it is there whatever the process dies of.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from multiprocessing.sharedctypes import RawValue
from typing import Any

from ..config import Config, Unusable
from ..errors import PluginBroken
from ..events import Events
from ..plugins.isolation import is_strict, unsurvived
from ..process.lifeline import boot_time

LOOK_SECONDS = 0.2
NAME_BYTES = 128
ENDS = "it ends the process that answers requests"


class _Shared(ctypes.Structure):
    _fields_ = (("at", ctypes.c_double), ("phase", ctypes.c_char * 16), ("plugin", ctypes.c_char * NAME_BYTES))


class BootNote:
    """Made by the front process, and handed on where the process is spawned."""

    def __init__(self) -> None:
        self._shared: Any = RawValue(_Shared)

    def write(self, plugin: str, phase: str) -> None:
        """The code of this plugin is about to be run; without a plugin: all of it has come back."""
        shared = self._shared
        shared.plugin = b""
        shared.at, shared.phase = boot_time(), phase.encode()
        shared.plugin = plugin.encode()[:NAME_BYTES]

    def blamed(self, reason: str) -> PluginBroken | None:
        """The plugin whose code was running, if any was."""
        plugin = self._shared.plugin.decode(errors="replace")
        return unsurvived(plugin, self._shared.phase.decode(), reason) if plugin else None

    def is_late(self, limit: float) -> bool:
        """Whether a plugin has been running for longer than so many seconds."""
        return bool(self._shared.plugin) and boot_time() - self._shared.at > limit


def late(limit: float) -> str:
    """What is said of a plugin that was waited for in vain."""
    return f"the API waited for it for more than {limit:g} s"


class BootWatch:
    """Ends the process that answers requests when a plugin keeps it from its work, and tells which one did."""

    def __init__(self, note: BootNote, limit: float, end: Callable[[], None]) -> None:
        self._note, self._limit, self._end = note, limit, end
        self._over, self._was_late = threading.Event(), False
        self._thread = threading.Thread(target=self._watch, daemon=True, name="boot-watch")

    def start(self) -> None:
        """Watch, until it is closed."""
        self._thread.start()

    def close(self) -> PluginBroken | None:
        """Watch no more. The plugin that the process did not survive, if it is no more because of one."""
        self._over.set()
        self._thread.join()
        return self._note.blamed(late(self._limit) if self._was_late else ENDS)

    def _watch(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            if not self._was_late and self._note.is_late(self._limit):
                self._was_late = True
                self._end()


class LeftOut:
    """The plugins without which requests are answered here, since a process that was to answer did not survive them."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._unusable: dict[str, Unusable] = {}

    def blame(self, stuck: PluginBroken) -> None:
        """Leave a plugin out from now on.

        Raises:
            PluginBroken: strictly, it is reason enough not to start at all.
        """
        if is_strict():
            raise stuck
        self._unusable[stuck.name] = Unusable(stuck.phase, stuck.reason)
        self._events.emit("plugin.broken", plugin=stuck.name, phase=stuck.phase, reason=stuck.reason, cure=stuck.cure)

    def usable(self, config: Config) -> Config:
        """What to serve by."""
        return config.survived(self._unusable)
