"""Seeded faults: who is killed or stopped, when, for how long, and in which window.

A worker is always stopped first and its window is read while it stands still, so what is counted is what was hit. Most
faults on workers aim: they wait a little for some worker to be in the window whose turn it is.
"""

from __future__ import annotations

import heapq
import itertools
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import chaos_windows as windows
from parties import LEASE_SECONDS, Parties, state_of, window_of
from replica_set import Node, ReplicaSet

KILL_WORKER, PAUSE_WORKER = "worker killed", "worker paused"
KILL_SUPERVISOR, PAUSE_SUPERVISOR = "supervisor killed", "supervisor paused"
PAUSE_HOST = "host paused"  # a supervisor and its workers, longer than their leases
KILL_API = "API killed"
KILL_PRIMARY, PAUSE_PRIMARY = "primary killed", "primary paused"
ON_DATABASE, ON_HOST = (KILL_PRIMARY, PAUSE_PRIMARY), (PAUSE_HOST, PAUSE_SUPERVISOR, KILL_SUPERVISOR)
DECKS = (
    {KILL_WORKER: 6, PAUSE_WORKER: 6, KILL_PRIMARY: 1, KILL_SUPERVISOR: 1, KILL_API: 1},
    {KILL_WORKER: 6, PAUSE_WORKER: 6, KILL_PRIMARY: 1, PAUSE_SUPERVISOR: 1, PAUSE_PRIMARY: 1, PAUSE_HOST: 1},
)
WITHOUT_ALARM = ({KILL_WORKER: 3, PAUSE_WORKER: 3, PAUSE_HOST: 2},)
AIM_SECONDS = 0.8
AIM_AT_MISSING_SECONDS = 3.0
LOOK_SECONDS = 0.05  # for new workers, and for what must be started again
STANDS_STILL_SECONDS = 0.5
LONGER_THAN_THE_LEASE = (LEASE_SECONDS * 1.1, LEASE_SECONDS * 1.5)
UNTIL_RESCUED = (LEASE_SECONDS + 6.5, LEASE_SECONDS + 8.0)  # by a supervisor that looks every 6.25 s at the latest
IN_A_SESSION = {windows.HANDLER, windows.BEFORE_FENCE, windows.AFTER_FENCE}


@dataclass(frozen=True, slots=True)
class Fault:
    """One that happened, at `at` by `time.monotonic`.

    Attributes:
        pids: the worker processes that it struck.
        window: where a worker was.
        seconds: how long a pause was to last.
    """

    at: float
    kind: str
    pids: tuple[int, ...] = ()
    window: str = ""
    seconds: float = 0.0


class Faults:
    """Injects faults from the calling thread, and keeps starting again what they ended."""

    def __init__(
        self, parties: Parties, database: ReplicaSet, *, seed: int, every_seconds: float, alarm: bool = True
    ) -> None:
        self._parties, self._database = parties, database
        self._random, self._every = random.Random(f"{seed}/faults"), every_seconds
        self._deck: list[str] = []
        self._decks = itertools.cycle(DECKS if alarm else WITHOUT_ALARM)
        self._later: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()
        self._busy_until = {ON_DATABASE: 0.0, ON_HOST: 0.0}
        self._looked_at = 0.0
        self._workers: list[Path] = []
        self._turns = self._aims()
        self.happened: list[Fault] = []
        self._faults = {
            KILL_WORKER: lambda: self._strike_worker(KILL_WORKER),
            PAUSE_WORKER: lambda: self._strike_worker(PAUSE_WORKER),
            KILL_SUPERVISOR: self._kill_supervisor,
            PAUSE_SUPERVISOR: self._pause_supervisor,
            PAUSE_HOST: self._pause_host,
            KILL_API: self._kill_api,
            KILL_PRIMARY: self._kill_primary,
            PAUSE_PRIMARY: self._pause_primary,
        }

    def run(self, seconds: float, longer: float) -> None:
        """Inject for so long, and at most so much `longer` while a window is missed; then what was stopped goes on."""
        until = due = time.monotonic()
        until += seconds
        while due < until or (self.missed and due < until + longer):
            self.keep_until(due)
            if card := self._card():
                self._faults[card]()
            due = max(due + self._random.uniform(0.4, 1.6) * self._every, time.monotonic())
        self.keep_until(until)
        while self._later:
            heapq.heappop(self._later)[2]()

    def keep_until(self, moment: float) -> None:
        """Start again what ended and let go on what was stopped, until then."""
        while time.monotonic() < moment:
            self.keep()
            time.sleep(min(0.01, max(0.0, moment - time.monotonic())))

    def keep(self) -> None:
        """One turn of that."""
        now = time.monotonic()
        while self._later and self._later[0][0] <= now:
            heapq.heappop(self._later)[2]()
        if now - self._looked_at > LOOK_SECONDS:
            self._looked_at = now
            self._parties.watch()
            self._database.watch()
            self._workers = self._parties.workers()

    def windows(self, kind: str) -> Counter[str]:
        """How often each window was hit by this kind of fault."""
        return Counter(fault.window for fault in self.happened if fault.kind == kind)

    @property
    def missed(self) -> list[str]:
        """The windows that no kill and no pause has hit."""
        hit = self.windows(KILL_WORKER) + self.windows(PAUSE_WORKER)
        return [window for window in windows.REQUIRED if not hit[window]]

    # Which, and when

    def _card(self) -> str:
        """The next kind: shuffled, in fixed proportions, one on the database and one on a host at a time."""
        if not self._deck:
            self._deck = list(Counter(next(self._decks)).elements())
            self._random.shuffle(self._deck)
        busy = {kind for kinds, until in self._busy_until.items() if time.monotonic() < until for kind in kinds}
        at = next((at for at, kind in enumerate(self._deck) if kind not in busy), None)
        return self._deck.pop(at) if at is not None else ""

    def _aims(self) -> Iterator[str]:
        while True:
            order = [*windows.REQUIRED, ""]
            self._random.shuffle(order)
            yield from order

    def _strike_worker(self, kind: str) -> None:
        missed = self.missed
        aim = missed[0] if missed else next(self._turns)
        limit = time.monotonic() + (AIM_AT_MISSING_SECONDS if missed else AIM_SECONDS)
        while time.monotonic() < limit:
            self.keep()
            for file in self._random.sample(self._workers, len(self._workers)):
                is_there = not aim or window_of(file) == aim
                if is_there and self._stop_and_strike(kind, file, aim if missed else ""):
                    return
            time.sleep(0.0002)
        for file in self._random.sample(self._workers, len(self._workers)):
            if self._stop_and_strike(kind, file, ""):
                return

    def _stop_and_strike(self, kind: str, file: Path, only: str) -> bool:
        """Stop a worker and see where it is; then kill it, or let it go on later. Whether it was there to be hit."""
        pid = int(file.name)
        if not _stand_still(pid):
            return False
        window = window_of(file)
        if only and window != only:
            _send(pid, signal.SIGCONT)
            return False
        if kind == KILL_WORKER:
            _send(pid, signal.SIGKILL)
            self._note(kind, (pid,), window)
            self._workers.remove(file)
            return True
        long = self._random.random() < 0.3
        seconds = self._random.uniform(*LONGER_THAN_THE_LEASE) if long else self._random.uniform(0.05, 1.5)
        self._in(seconds, lambda: _send(pid, signal.SIGCONT))
        self._note(kind, (pid,), window, seconds)
        self._workers.remove(file)
        return True

    # Everything else

    def _kill_supervisor(self) -> None:
        party = self._random.choice(self._parties.supervisors)
        pids = self._workers_of(party.pid)
        party.kill(down_seconds=self._random.uniform(0.0, 2.0))
        self._note(KILL_SUPERVISOR, pids)

    def _pause_supervisor(self) -> None:
        party = self._random.choice(self._parties.supervisors)
        pids, seconds = self._workers_of(party.pid), self._random.uniform(*LONGER_THAN_THE_LEASE)
        party.signal(signal.SIGSTOP)
        self._in(seconds, lambda: party.signal(signal.SIGCONT))
        self._note(PAUSE_SUPERVISOR, pids, seconds=seconds)

    def _pause_host(self) -> None:
        """One host at a time, with a worker in a session: the other host has the time to rescue what it holds.

        The workers go on a little earlier than the supervisor, which would end them.
        """
        party, seconds = self._random.choice(self._parties.supervisors), self._random.uniform(*UNTIL_RESCUED)
        first = self._one_in_a_session(party.pid)
        party.signal(signal.SIGSTOP)
        pids = self._workers_of(party.pid)
        stopped = [*first, *(pid for pid in pids if _stand_still(pid))]
        self._in(seconds, lambda: [_send(pid, signal.SIGCONT) for pid in stopped])
        self._in(seconds + 1.0, lambda: party.signal(signal.SIGCONT))
        self._busy_until[ON_HOST] = time.monotonic() + seconds + 4.0
        self._note(PAUSE_HOST, pids, seconds=seconds)

    def _one_in_a_session(self, supervisor: int) -> list[int]:
        """Stop a worker of this supervisor while it is in a session, if one is soon."""
        limit = time.monotonic() + AIM_SECONDS
        while time.monotonic() < limit:
            self.keep()
            for pid in self._workers_of(supervisor):
                file = self._parties.window_file(pid)
                if window_of(file) in IN_A_SESSION and _stand_still(pid):
                    return [pid]
            time.sleep(0.0002)
        return []

    def _kill_api(self) -> None:
        """The process in front, or the one behind it that answers."""
        api, down_seconds = self._parties.api, self._random.uniform(0.0, 1.5)
        behind = api.spawned()
        if behind and self._random.random() < 0.5:
            _send(self._random.choice(behind), signal.SIGKILL)
        else:
            api.kill(down_seconds=down_seconds)
        self._note(KILL_API)

    def _kill_primary(self) -> None:
        node = self._primary()
        if node:
            down_seconds = self._random.uniform(0.0, 4.0 if len(self._database.nodes) > 1 else 1.5)
            node.kill(down_seconds=down_seconds)
            self._busy_until[ON_DATABASE] = time.monotonic() + down_seconds + 3.0
            self._note(KILL_PRIMARY)

    def _pause_primary(self) -> None:
        node = self._primary()
        if node:
            seconds = self._random.uniform(0.5, LONGER_THAN_THE_LEASE[1])
            node.pause()
            self._in(seconds, node.go_on)
            self._busy_until[ON_DATABASE] = time.monotonic() + seconds + 3.0
            self._note(PAUSE_PRIMARY, seconds=seconds)

    def _primary(self) -> Node | None:
        """The primary, once there is one and all follow it: two faults at once would leave no majority."""
        limit = time.monotonic() + 15
        while time.monotonic() < limit:
            if self._database.is_well() and (node := self._database.primary()):
                return node
            self.keep_until(time.monotonic() + 0.1)
        return None

    def _workers_of(self, supervisor: int) -> tuple[int, ...]:
        pids = [int(file.name) for file in self._workers]
        return tuple(pid for pid in pids if (state_of(pid) or ("", 0))[1] == supervisor)

    def _in(self, seconds: float, action: Callable[[], object]) -> None:
        heapq.heappush(self._later, (time.monotonic() + seconds, next(self._numbers), action))

    def _note(self, kind: str, pids: tuple[int, ...] = (), window: str = "", seconds: float = 0.0) -> None:
        self.happened.append(Fault(time.monotonic(), kind, pids, window, seconds))


def _stand_still(pid: int) -> bool:
    """Stop a process and wait until it stands; not when somebody else has stopped it, or it has ended."""
    state = state_of(pid)
    if state is None or state[0] == "T":
        return False
    _send(pid, signal.SIGSTOP)
    limit = time.monotonic() + STANDS_STILL_SECONDS
    while time.monotonic() < limit:
        state = state_of(pid)
        if state is None:
            return False
        if state[0] == "T":
            return True
    _send(pid, signal.SIGCONT)
    return False


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
