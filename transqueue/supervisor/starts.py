"""The starts of this host's workers, and the plugins that they do not survive.

A worker says whose code it is about to run. From a hang, or a process that ends, it can tell nothing afterwards; its
supervisor can, and starts the next ones without that plugin, so that it keeps no other from its work.
"""

from __future__ import annotations

from collections import Counter

from ..config import Config, Unusable
from ..errors import PluginBroken
from ..events import Events
from ..plugins.isolation import is_strict, unsurvived
from .child import Child

BOOT_SECONDS = 60.0  # from one word of a worker that starts to the next
DEATHS = 3  # a worker may die of something else while a plugin starts; not so often


class Starts:
    """Judges how workers start.

    Args:
        limit_seconds: how long one step of one plugin may take.

    Attributes:
        left_out: why, by the plugins that workers start without.
    """

    def __init__(self, events: Events, limit_seconds: float) -> None:
        self._events, self._limit_seconds = events, limit_seconds
        self.left_out: dict[str, Unusable] = {}
        self._deaths: Counter[str] = Counter()
        self._was_ready = False

    def usable(self, config: Config) -> Config:
        """The configuration for the next worker."""
        return config.survived(self.left_out)

    def without(self, config: Config, plugin: str) -> Config:
        """A configuration for workers that are to try the others again."""
        return config.survived({plugin: self.left_out[plugin]})

    def check_boot(self, child: Child, now: float) -> bool:
        """Whether it is late, and is to be ended: not ready by now, nor further on. A plugin that keeps it is left out.

        Raises:
            PluginBroken: as `judge`.
        """
        if stuck := self.stuck(child, now):
            self._leave_out(stuck)
        elif now - child.starting.at > BOOT_SECONDS:
            self._events.emit(
                "worker.boot_failed", worker=child.worker[:8], message=f"not ready after {BOOT_SECONDS:g} s"
            )
        else:
            return False
        return True

    def judge(self, child: Child) -> bool:
        """See what a worker died of that was not ready. Whether the next one starts with less: without a plugin that
        took too long, or that ends one worker after the other.

        Raises:
            PluginBroken: strictly, and no worker was ever ready: that is reason enough not to start at all.
        """
        if child.is_ready or child.listen():
            return False
        if child.refused and not self._was_ready:
            raise child.refused
        self._deaths[child.starting.plugin] += 1
        if child.starting.plugin and self._deaths[child.starting.plugin] >= DEATHS:
            self._leave_out(ended(child))
        return child.starting.plugin in self.left_out

    def ready(self) -> None:
        """A worker has started with all of the others."""
        self._was_ready = True
        self._deaths.clear()

    def renew(self, config: Config) -> None:
        """Workers of this configuration have started: what it has not left out works again."""
        self.left_out = {name: why for name, why in self.left_out.items() if name in config.unusable}

    def stuck(self, child: Child, now: float) -> PluginBroken | None:
        """The plugin that takes too long in a worker, if one does."""
        starting, limit = child.starting, self._limit_seconds
        if not starting.plugin or now - starting.at <= limit:
            return None
        return unsurvived(starting.plugin, starting.phase, f"a worker waited for it for more than {limit:g} s")

    def _leave_out(self, stuck: PluginBroken) -> None:
        if is_strict():
            if not self._was_ready:
                raise stuck
        elif stuck.name not in self.left_out:
            self.left_out[stuck.name] = Unusable(stuck.phase, stuck.reason)
            self._events.emit(
                "plugin.broken", plugin=stuck.name, phase=stuck.phase, reason=stuck.reason, cure=stuck.cure
            )


def ended(child: Child) -> PluginBroken:
    """That a worker ended while a plugin started in it."""
    return unsurvived(child.starting.plugin, child.starting.phase, f"it ends the worker ({child.ending})")
