"""The boot of a process that answers requests, as its front process sees it: whose code it is about to run.

The note is memory that both share, so it is there whatever the process dies of.
"""

from __future__ import annotations

import ctypes
from multiprocessing.sharedctypes import RawValue
from typing import Any

from ..config import Config, Unusable
from ..errors import PluginBroken
from ..events import Events
from ..plugins.isolation import is_strict, unsurvived
from ..process.lifeline import boot_time

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
