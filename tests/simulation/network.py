"""The network and the server of a simulation: what becomes of a command that is sent.

It may never arrive; arrive long after its sender gave up; be done half, and go on later or never; be done, and its
answer lost; wait for a session; or meet an election, which discards what no majority had.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo.errors import AutoReconnect, ExecutionTimeout, NetworkTimeout, PyMongoError

from .command import Command
from .hub import Hub, Killed, Process
from .store import BLOCKED, Steps, Store

SESSION_LIFETIME = timedelta(seconds=10)
START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Weather:
    """How often a command meets which fault, and how long a majority takes."""

    unsent: float = 0.0
    unanswered: float = 0.0
    late: float = 0.0
    half: float = 0.0
    slow: float = 0.0
    lag: float = 0.002
    any: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "any", self.unsent + self.unanswered + self.late + self.half + self.slow)


CALM = Weather()


class SimulatedNetwork:
    """Carries the commands of all processes of one simulation."""

    def __init__(self, hub: Hub) -> None:
        self.hub, self.weather = hub, CALM
        self.clock_error, self.away_until, self.supervisors_lag = 0.0, 0.0, 0.002
        self.strike: Callable[[Process], None] | None = (
            None  # something that befalls a worker in the middle of its work
        )
        self.store = Store(self.server_time, hub.now, lambda: hub.between(0.0, self.weather.lag))
        self.hits: dict[str, int] = {}
        self._told_at, self._told = -1.0, START
        hub.later(1.0, self._each_second)

    def server_time(self) -> datetime:
        """The primary's clock, in whole milliseconds."""
        moment = self.hub.time + self.clock_error
        if moment != self._told_at:
            self._told_at, self._told = moment, START + timedelta(milliseconds=int(moment * 1000))
        return self._told

    def call(self, caller: str, command: Command) -> Any:
        """The answer of the server, as the contract of `Network` says."""
        hub, process = self.hub, self.hub.thread.process
        process.check()
        fault = self._fault() if self.weather.any else ""
        hub.tell(f"{caller}: {command.name} ({fault})" if fault else f"{caller}: {command.name}")
        if command.timeout <= 0:
            raise NetworkTimeout("timed out before it was sent")
        if fault == "late":
            self._give_up_on(command)
        if self.strike:
            self._maybe_strike(process, command, 0.06)
        try:
            hub.sleep(self._latency(caller, command, fault))
        except Killed:
            self._may_go_on(command.steps)
            raise
        if fault == "unsent" or hub.time < self.away_until:
            hub.sleep(hub.between(0.0, 0.5))
            raise self._lost(command)
        return self._carry_out(process, command, fault)

    def elect(self) -> None:
        """Another node becomes primary; its clock is another too."""
        self.store.settle_majority()
        pending = len(self.store.pending)
        survivors = self.hub.random.randint(0, pending)
        self.hub.tell(f"election: {pending - survivors} writes are discarded")
        self._count("rolled back" if survivors < pending else "election")
        self.store.elect(survivors)
        self.away_until = self.hub.time + self.hub.between(0.05, 2.0)
        self.clock_error += self.hub.between(-0.2, 0.2)

    def _each_second(self) -> None:
        """The server ends sessions that have been open for too long."""
        self.hub.later(1.0, self._each_second)
        now = self.store.now()
        for session in self.store.sessions.values():
            if session.state == "open" and now - session.opened_at > SESSION_LIFETIME:
                self._count("session lifetime")
                self.store.abort(session)

    def _latency(self, caller: str, command: Command, fault: str) -> float:
        if fault == "slow":
            return self.hub.between(0.5, command.timeout * 1.2)
        return self.hub.between(0.0001, self.supervisors_lag if "supervisor" in caller else 0.002)

    def _maybe_strike(self, process: Process, command: Command, probability: float) -> bool:
        """Where it hurts: around a command that changes something."""
        if not self.strike or not (command.writes or command.in_session) or "worker" not in process.name:
            return False
        if not self.hub.chance(probability):
            return False
        self._count(f"struck at {command.name}")
        self.strike(process)
        return True

    def _fault(self) -> str:
        weather, drawn = self.weather, self.hub.random.random()
        if drawn >= weather.any:
            return ""
        for name in ("unsent", "unanswered", "late", "half", "slow"):
            drawn -= getattr(weather, name)
            if drawn < 0:
                break
        self._count(name)
        return name

    def _carry_out(self, process: Process, command: Command, fault: str) -> Any:
        hub, store, term = self.hub, self.store, self.store.term
        until, steps, waited = hub.time + command.timeout, command.steps(), 0.002
        while True:
            try:
                reached = next(steps)
            except StopIteration as end:
                return self._answered(process, command, fault, end.value, term)
            if fault == "half" and hub.chance(0.4):
                self._may_go_on(lambda: steps)
                raise self._lost(command)
            if reached == BLOCKED:
                self._count("blocked")
                if hub.time > until:
                    raise ExecutionTimeout("operation exceeded time limit", 50)
                waited = min(waited * 2, 0.25)
                self._stay(steps, waited)
            elif hub.chance(0.25):
                self._stay(steps, hub.between(0.0, 0.003))
            if store.term != term:
                raise self._lost(command)

    def _answered(self, process: Process, command: Command, fault: str, answer: Any, term: int) -> Any:
        hub = self.hub
        waits = command.writes and (not command.in_session or command.name == "commitTransaction")
        lag = self.store.majority_at - hub.time if waits else 0.0
        struck = self.strike and self._maybe_strike(process, command, 0.02)
        if lag > 0.0 or fault or struck:
            hub.sleep(max(lag, 0.0) + hub.between(0.0, 0.001))
        if self.store.term != term or fault == "unanswered":
            raise self._lost(command)
        return answer

    def _stay(self, steps: Steps, seconds: float) -> None:
        """Let time pass inside a command; when its sender dies meanwhile it may go on all the same."""
        try:
            self.hub.sleep(seconds)
        except Killed:
            self._may_go_on(lambda: steps)
            raise

    def _give_up_on(self, command: Command) -> None:
        """The sender waits no longer; the command arrives when it arrives."""
        self.hub.later(self.hub.between(0.0, command.timeout * 3), self._go_on, command.steps, None)
        self.hub.sleep(min(command.timeout, self.hub.between(0.1, 5.0)))
        raise self._lost(command)

    def _may_go_on(self, steps: Any) -> None:
        if self.hub.chance(0.6):
            self._count("went on alone")
            self.hub.later(self.hub.between(0.0, 0.5), self._go_on, steps, None)

    def _go_on(self, made: Any, steps: Steps | None, tries: int = 200) -> None:
        """Nobody waits for this command any more, and the server carries it out."""
        steps = made() if steps is None else steps
        try:
            while True:
                if next(steps) == BLOCKED or self.hub.chance(0.2):
                    if tries:
                        self.hub.later(self.hub.between(0.001, 0.1), self._go_on, made, steps, tries - 1)
                    return
        except (StopIteration, PyMongoError):
            return

    def _lost(self, command: Command) -> PyMongoError:
        error = (AutoReconnect if self.hub.chance(0.5) else NetworkTimeout)(f"simulated: {command.name}")
        if command.name == "commitTransaction":
            error._add_error_label("UnknownTransactionCommitResult")
        elif command.in_session:
            error._add_error_label("TransientTransactionError")
        return error

    def _count(self, what: str) -> None:
        self.hits[what] = self.hits.get(what, 0) + 1
