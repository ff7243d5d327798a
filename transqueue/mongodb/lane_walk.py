"""Which lanes have anything to lease in order: asked now and then, believed in between.

What has left a lane's front leaves its keys behind in the index for minutes, and looking for the lanes that have one
steps over those of all lanes. So a worker goes by what it was told a moment ago, and asks again when that yields
nothing, or has grown old.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ..transaction import KEYED_LANES
from .connection import Connection, answering

BELIEVED_SECONDS, LONGEST_SECONDS = 0.25, 1.0
SHARE = 20  # asking takes a twentieth of the time at most, while it is quick and something is found


@dataclass(slots=True)
class _Told:
    """The lanes of a plugin that have a front, as far as is known, and until when nothing else is asked."""

    lanes: set[int] = field(default_factory=set)
    until: float = float("-inf")


class LaneWalk:
    """Over the lanes of each plugin, for one worker process."""

    def __init__(self, connection: Connection) -> None:
        self._q, self._keys, self._clock = connection.q, connection.keys, connection.clock
        self._monotonic = connection.monotonic
        self._told: dict[str, _Told] = {}

    def over(self, plugin: str, lanes: Sequence[int]) -> Iterator[int]:
        """Those of the lanes that have a front, or keys to look at, in the order given.

        Whoever comes back for the next one had nothing of the last. After all that are known it is asked again, and the
        walk goes on over those that it has not seen.
        """
        told, seen = self._told.get(plugin, _Told()), set[int]()
        if self._monotonic() < told.until:
            for lane in [one for one in lanes if one in told.lanes]:
                seen.add(lane)
                yield lane
                told.lanes.discard(lane)
        told = self._told[plugin] = self._ask(plugin)
        for lane in [one for one in lanes if one in told.lanes and one not in seen]:
            yield lane
            told.lanes.discard(lane)

    def forget(self, plugin: str, lane: int) -> None:
        """Most likely all that may go has been leased."""
        self._told[plugin].lanes.discard(lane)

    def _ask(self, plugin: str) -> _Told:
        began, now = self._monotonic(), self._clock.now()
        among = {"$in": [*KEYED_LANES]}
        with answering("look for lanes"):
            fronts = self._q.distinct("lane", {"ordered": True, "plugin.name": plugin, "lane": among})
            keys = self._keys.distinct("lane", {"lane": among, "look_at": {"$lte": now}, "plugin": plugin})
        ended = self._monotonic()
        believed = min(max(BELIEVED_SECONDS, SHARE * (ended - began)), LONGEST_SECONDS)
        return _Told({*fronts, *keys}, ended + believed)
