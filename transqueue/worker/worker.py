"""The loop of a worker: lease, execute, settle, repeat until told to stop.

Types are taken in turn, so that none waits for another; what is leased is worked off before more is leased.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Protocol, TypeVar

from ..errors import QueueUnavailable
from ..events import Events
from ..executor import Bound
from ..order import Due, source_of
from ..queue import TransactionQueue
from ..transaction import KEYED_LANES, LANES, Transaction
from .batch import Batches
from .bell import Bell, NoBell
from .pace import Pace
from .paused import PausedTypes
from .sources import InVain, Source

FIRST_WAIT_SECONDS, WAIT_GROWTH = 0.005, 1.5
FIRST_LISTENING_SECONDS = 0.05  # the bell tells of what comes, so what a look would find has been missed
DEAF_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.1, 1.0  # at most, without a bell, and with one that rings
OTHERS_FIRST_SECONDS = 0.01  # so that a worker whose lane it is takes it
UNAVAILABLE_WAIT_SECONDS = 0.5
LOOK_AROUND = 8  # leases of one source
MANY = 8  # leased at once: then there is a backlog
SHARE_A_SESSION = 16
FAMILY_SECONDS = 0.5  # how long the types found for a family are believed
T = TypeVar("T")


class Waiting(Protocol):
    """What a worker sleeps on."""

    def is_set(self) -> bool: ...

    def wait(self, seconds: float) -> None: ...


class Worker:
    """The loop of a worker process. One turn is a method, so tests take it turn by turn.

    Args:
        first: the turn to begin with. Another one at each start: a type that ends its workers holds up no other.
    """

    def __init__(
        self,
        queue: TransactionQueue,
        batches: Batches,
        bounds: Mapping[str, Bound],
        *,
        id: str,
        lanes: Sequence[int],
        pace: Pace,
        stop: Waiting,
        events: Events,
        first: int = 0,
        is_parked: Callable[[str], bool] = lambda _: False,
        monotonic: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = random.random,
        bell: Bell | None = None,
    ) -> None:
        self._queue, self._batches, self._bounds = queue, batches, bounds
        self._id, self._lanes, self._pace, self._stop, self._events = id, lanes, pace, stop, events
        self._is_parked, self._monotonic, self._random = is_parked, monotonic, random
        self._bell: Bell = bell or NoBell()
        self._paused, self._in_vain = PausedTypes(queue, monotonic), InVain(queue, monotonic)
        self._families = [type for type in bounds if type.endswith(".*")]
        self._found: tuple[float, list[str]] = (float("-inf"), [])
        self._next, self._leased = first, Counter[str]()
        self._heard: Collection[str] = ()
        self._expects = False  # more, so that the next turn looks without asking first
        self._idles = False  # it found nothing the last time
        self._nothing_is_due = False  # as far as it asked

    def run(self) -> None:
        """Take turns until told to stop."""
        wait = 0.0
        while not self._stop.is_set():
            try:
                worked = self.turn()
            except QueueUnavailable as error:
                self._events.emit("queue.unavailable", message=str(error))
                self._stop.wait(UNAVAILABLE_WAIT_SECONDS)
                continue
            wait = max(wait, self._least_wait())
            if worked or self._is_called(wait):
                wait = 0.0
            else:
                wait = min(wait * WAIT_GROWTH, LONGEST_WAIT_SECONDS if self._bell.is_listening else DEAF_WAIT_SECONDS)
        self._batches.finish()

    def _least_wait(self) -> float:
        """Short where something is due that nobody may take yet: its end is what no bell tells."""
        return FIRST_LISTENING_SECONDS if self._nothing_is_due and self._bell.is_listening else FIRST_WAIT_SECONDS

    def _is_called(self, seconds: float) -> bool:
        """Wait so long, until the next one is due, or until something is heard; whether it was."""
        self._bell.listen()
        self._stop.wait(self._until_due(seconds))
        heard = self._bell.heard()
        if heard == "others":
            self._stop.wait(OTHERS_FIRST_SECONDS * (1 + self._random()))
        if heard:
            self._heard = self._bell.sources()
            self._expects = heard != "others"  # which those may have taken by now
            self._in_vain.look_at_all_again()
        return heard is not None

    def _until_due(self, seconds: float) -> float:
        """No longer than to the moment at which the next one is due, as far as a wait is long enough to ask."""
        if seconds <= DEAF_WAIT_SECONDS:
            return seconds
        try:
            left = self._queue.seconds_to_next(self._types())
        except QueueUnavailable:  # the next turn tells
            return seconds
        seconds *= 0.75 + 0.5 * self._random()
        return seconds if left is None else min(seconds, max(left, 0.0))

    def turn(self) -> bool:
        """Settle what has ended beside; lease transactions of the next type that has any due, and work them off.

        Whether there was anything to do. Where there was little or nothing the last time, one question is asked for
        all types first, so that who has nothing to do soon waits for what comes.

        Raises:
            QueueUnavailable: the database did not answer; nothing is held.
            TrackLost: it is not known what is held.
        """
        return self._batches.collect() | self._lease_next()

    def _lease_next(self) -> bool:
        types = self._types()
        if not self._expects:
            self._in_vain.look_at_all_again()
        expected, self._expects = self._expects, False
        due = self._queue.due(types) if types and not expected else None
        self._nothing_is_due = due is None and not expected
        if self._idles and due:
            self._heard = {*self._heard, *self._bell.sources(), self._source_of(due)}
        worked = bool(types) and (expected or due is not None) and self._take_turn(types)
        self._idles = not worked
        return worked

    def _source_of(self, due: Due) -> str:
        return source_of(self._bound(due.type).handler.plugin) if due.has_key else due.type

    def _take_turn(self, types: Sequence[str]) -> bool:
        """Work off what the next source has that has anything, first where something was heard.

        A worker that has more to do than it can hears nothing: else what comes all the time would hold up the rest.
        """
        sources = _turned(list(enumerate(self._sources(types), 1)), self._next)
        heard, self._heard = self._heard, ()
        called = [(after, source) for after, source in sources if source.name in heard]
        return self._try(called) or self._try(self._in_vain.without(sources))

    def _try(self, sources: Iterable[tuple[int, Source]]) -> bool:
        for after, source in sources:
            if leased := source.lease():
                self._bell.rest()
                self._in_vain.forget(source)
                self._next = after
                self._work_off(source, leased)
                return True
            self._in_vain.note(source)
        return False

    def _work_off(self, source: Source, leased: Sequence[Transaction]) -> None:
        types = {transaction.type for transaction in leased}
        stopping = partial(self._is_to_stop, types)
        seconds = self._batches.work_off(self._bound, leased, stopping=stopping)
        if source.in_order:
            self._pace.learn(source.name, len(leased), seconds)
        self._leased[source.name] += 1

    def _is_to_stop(self, types: Collection[str]) -> bool:
        """Whether what is leased and not started goes back: the worker ends, or an operator paused one of its types."""
        return self._stop.is_set() or bool(self._paused.among(types))

    def _sources(self, types: Sequence[str]) -> list[Source]:
        """Each type by itself, and each plugin's types together where keys order them."""
        of_plugins: dict[str, list[str]] = {}
        for type in types:
            of_plugins.setdefault(self._bound(type).handler.plugin, []).append(type)
        ordered = [
            Source(source_of(plugin), types, partial(self._lease_in_order, plugin, types), in_order=True)
            for plugin, types in of_plugins.items()
        ]
        return [*(Source(type, [type], partial(self._lease, type)) for type in types), *ordered]

    def _lease(self, type: str) -> Sequence[Transaction]:
        """From this worker's own lanes first, so that workers keep out of each other's way."""
        limit = self._limit(type)
        if self._looks_around(type):
            return self._counted(self._queue.lease(self._id, type, limit=limit, by_age=True), limit)
        leased = self._queue.lease(self._id, type, limit=limit, lanes=self._lanes)
        if not leased and len(self._lanes) < LANES:  # else it has looked everywhere, alone on its host
            leased = self._queue.lease(self._id, type, limit=limit)
        return self._counted(leased, limit)

    def _counted(self, leased: Sequence[Transaction], limit: int) -> Sequence[Transaction]:
        """After many, or all that were asked for, more is expected."""
        self._expects = len(leased) >= min(limit, MANY) > 0
        return leased

    def _limit(self, type: str) -> int:
        """How many to lease: as many async ones as there is room for, of the others what is worked off in a moment."""
        return self._batches.room if self._bound(type).handler.is_async else self._paced(type, [type])

    def _paced(self, name: str, types: Sequence[str]) -> int:
        """By its pace; of transactional ones never few, for where a session is slow it is not its members' doing."""
        shared = any(self._bound(type).handler.transactional for type in types)
        return max(self._pace.limit(name), SHARE_A_SESSION if shared else 1)

    def _lease_in_order(self, plugin: str, types: Sequence[str]) -> Sequence[Transaction]:
        """As `_lease`, and each time from another lane on, so that no lane has to wait for the others."""
        name = source_of(plugin)
        own = _turned([KEYED_LANES[lane] for lane in self._lanes], self._leased[name])
        others = _turned([lane for lane in KEYED_LANES if lane not in own], self._leased[name])
        lanes = [*others, *own] if self._looks_around(name) else [*own, *others]
        limit = self._paced(name, types)
        return self._counted(self._queue.lease_in_order(self._id, plugin, types, limit=limit, lanes=lanes), limit)

    def _looks_around(self, name: str) -> bool:
        """Now and then, at all lanes and by age: none waits for ever for a busy worker, or behind higher priorities."""
        return self._leased[name] % LOOK_AROUND == LOOK_AROUND - 1

    def _types(self) -> list[str]:
        exact = [type for type in self._bounds if not type.endswith(".*")]
        types = exact + (self._of_families(exact) if self._families else [])
        paused = self._paused.among(types)
        return [type for type in types if type not in paused] if paused else types

    def _of_families(self, exact: Sequence[str]) -> list[str]:
        """The types in the queue that only a family claims; one whose own claim is parked waits for that."""
        looked, found = self._found
        if self._monotonic() - looked > FAMILY_SECONDS:
            prefixes = [family.removesuffix("*") for family in self._families]
            queued = {type for prefix in prefixes for type in self._queue.queued_types(prefix)} - set(exact)
            found = sorted(type for type in queued if not self._is_parked(type))
            self._found = (self._monotonic(), found)
        return found

    def _bound(self, type: str) -> Bound:
        if type in self._bounds:
            return self._bounds[type]
        families = [family for family in self._families if type.startswith(family.removesuffix("*"))]
        return self._bounds[max(families, key=len)]


def lanes_of(slot: int, processes: int) -> list[int]:
    """The lanes that the worker of a slot looks into first."""
    return [lane for lane in range(LANES) if lane % max(processes, 1) == slot % max(processes, 1)] or [slot % LANES]


def _turned(members: Sequence[T], by: int) -> list[T]:
    at = by % len(members) if members else 0
    return [*members[at:], *members[:at]]
