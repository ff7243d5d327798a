"""A new set of workers beside the old one: it is up and healthy before the old one drains, or it leaves again.

Both sets lease meanwhile, as the workers of two hosts do, so nothing waits for the change and nothing is attempted
twice because of it. A newcomer that cannot start, or in which a plugin breaks that works in the old set, is reason
enough to keep the old one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from ..errors import PluginBroken
from ..events import Events
from .child import Child
from .keeper import LeaseKeeper
from .starts import Starts, ended

BOOT_SECONDS = 120.0  # twice what the supervisor gives its own: the old set goes on meanwhile


class Succession:
    """The newcomers of one change, one per slot.

    Attributes:
        failure: why the old set stays; empty while nothing is known against the new one.
        stuck: the plugin that a newcomer did not survive.
    """

    def __init__(
        self,
        children: Sequence[Child],
        *,
        keeper: LeaseKeeper,
        events: Events,
        now: Callable[[], float],
        tolerated: Collection[str],
        starts: Starts,
    ) -> None:
        self.children, self.failure, self.tolerated = list(children), "", frozenset(tolerated)
        self.stuck: PluginBroken | None = None
        self._keeper, self._events, self._now, self._starts = keeper, events, now, starts

    @property
    def is_ready(self) -> bool:
        """Whether all are up and healthy."""
        return not self.failure and all(child.is_ready for child in self.children)

    def turn(self) -> None:
        """Look after each newcomer once."""
        for child in self.children:
            self._watch(child)

    def _watch(self, child: Child) -> None:
        if child.listen():
            self._events.emit("worker.ready", worker=child.worker[:8], slot=child.slot)
            self._keeper.keep(child)
            self._judge(child)
        if child.process.exitcode is not None and child.starting.plugin:
            self._stick(ended(child))
        elif child.process.exitcode is not None:
            self._fail(f"a new worker ended before the change was done: {child.ending}")
        elif not child.is_ready and (stuck := self._starts.stuck(child, self._now())):
            self._stick(stuck)
        elif child.worker in self._keeper.lapsed:
            self._fail("the lease of a new worker lapsed")
        elif not child.is_ready and self._now() - child.spawned_at > BOOT_SECONDS:
            self._fail(f"a new worker was not ready after {BOOT_SECONDS:g} s")
        elif child.check_deadline(self._now()):
            self._events.emit("worker.timed_out", worker=child.worker[:8], transaction=child.running)

    def _judge(self, child: Child) -> None:
        for plugin, reason in child.broken.items():
            if plugin not in self.tolerated:
                self._fail(f"plugin {plugin!r} breaks in a new worker: {reason}")

    def _stick(self, stuck: PluginBroken) -> None:
        self.stuck = stuck
        self._fail(str(stuck))

    def _fail(self, reason: str) -> None:
        self.failure = self.failure or reason
