"""One simulation: a seed, and everything that comes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from transqueue.config import Config, WorkersConfig

from .errands import Errands
from .hosts import Host
from .hub import Hub, Process
from .network import CALM, SimulatedNetwork, Weather
from .people import People
from .surroundings import simulated_surroundings
from .verdict import Broken, Watch, judge, rests

LIVENESS_SECONDS = 400.0


@dataclass
class Report:
    """What one seed came to.

    Attributes:
        breach: the promise that was broken, in words, or nothing.
        hits: how often which fault, and which kind of end, was met.
    """

    seed: int
    breach: str = ""
    events: int = 0
    digest: int = 0
    seconds: float = 0.0
    hits: dict[str, int] = field(default_factory=dict)


class Simulation:
    """Hosts, a database and people, for a while in bad weather, then in good.

    Args:
        cruel: hosts stand still wherever it hurts, until after their leases lapsed: what mutants do not survive.
    """

    def __init__(self, seed: int, told: Callable[[str], None] | None = None, *, cruel: bool = False) -> None:
        self.cruel = cruel
        self.hub = hub = Hub(seed, told=told)
        self.network = SimulatedNetwork(hub)
        self.network.store.unique["Q"] = [("submitter", "idempotency.key")]
        self.watch = Watch(self.network.store)
        self.errands = Errands(hub, self.network.server_time)
        self.people = People(hub, self.network, self.errands, harsh=hub.chance(0.5))
        lease = hub.random.choice((5.0, 6.0, 8.0))
        self.lease = lease
        self.hosts_keep_time = hub.chance(0.4) and not cruel
        self.trouble_seconds = hub.between(2.5, 7.0)
        config = Config(workers=WorkersConfig(processes=1, lease_seconds=lease, stop_seconds=5))
        two = Config(workers=WorkersConfig(processes=2, lease_seconds=lease, stop_seconds=5))
        self.hosts = [Host(hub, self.network, "a", two if hub.chance(0.2) else config, self.errands)]
        self.hosts.append(Host(hub, self.network, "b", config, self.errands))

    def run(self) -> Report:
        """Let everything happen.

        Raises:
            Broken: a promise did not hold.
        """
        hub = self.hub
        self.network.weather = self._weather()
        self.people.start(2, hub.random.randint(1, 3), self.trouble_seconds * 0.7)
        for _ in range(hub.random.randint(0, 3)):
            hub.later(hub.between(0.3, self.trouble_seconds), self._trouble)
        self.network.supervisors_lag = hub.random.choice((0.002, 0.3, 0.8))
        self.network.strike = self._strike if hub.chance(0.8) or self.cruel else None
        hub.run(self.trouble_seconds)
        self.network.weather, self.network.strike, self.network.supervisors_lag = CALM, None, 0.002
        self._settle_down()
        self.network.store.settle_majority(float("inf"))
        judge(self.network.store, self.people, self.errands, hosts_keep_time=self.hosts_keep_time)
        return Report(hub.seed, events=hub.events, digest=hub.digest, seconds=hub.time, hits=self._hits())

    def close(self) -> None:
        """End whatever still runs."""
        for host in self.hosts:
            host.supervisor.on_end.clear()
            host.supervisor.kill()
            for worker in list(host.workers):
                worker.kill()

    def _settle_down(self) -> None:
        """Without faults everything comes to its end, before long."""
        until = self.hub.time + LIVENESS_SECONDS
        while self.hub.time < until and (self.people.busy or not rests(self.network.store)):
            self.hub.run(self.hub.time + 0.5)
        self.hub.run(max(self.hub.time, self.hub.all_awake_at) + 0.5)  # who wakes up late may do no harm

    def _weather(self) -> Weather:
        hub = self.hub
        worst = hub.random.choice((0.0, 0.003, 0.01, 0.03))
        chances = [worst * hub.random.random() for _ in range(5)]
        return Weather(*chances, lag=hub.random.choice((0.001, 0.02, 0.2)))

    def _trouble(self) -> None:
        """One thing goes wrong, now."""
        hub = self.hub
        host = hub.random.choice(self.hosts)
        workers = list(host.workers)
        kind = hub.random.randrange(10)
        if kind == 0:
            host.supervisor.kill()
        elif kind == 1:
            host.supervisor.pause(hub.between(0.1, 15.0))
        elif kind == 2:
            self.network.elect()
        elif kind == 3 and not self.hosts_keep_time:
            host.freeze(hub.between(1.0, 25.0))
        elif workers and kind <= 6:
            hub.random.choice(workers).kill()
        elif workers:
            hub.random.choice(workers).inner.pause(hub.between(0.1, 15.0))

    def _strike(self, process: Process) -> None:
        """A worker in the middle of its work: it dies, is paused, or its host stands still."""
        hub, kind = self.hub, 3 if self.cruel else self.hub.random.randrange(4)
        host = next(one for one in self.hosts if process.name.startswith(f"{one.name}-"))
        if kind == 0:
            process.kill()
        elif kind == 1:
            process.pause(hub.between(0.1, 15.0))
        elif not self.hosts_keep_time:
            host.freeze(hub.between(self.lease * 0.9, self.lease + 8.0))
        elif kind == 2:
            self.network.elect()

    def _hits(self) -> dict[str, int]:
        hits = dict(self.network.hits)
        for one in self.network.store.latest.get("Q", {}).values():
            hits[one["state"]] = hits.get(one["state"], 0) + 1
        return hits


def simulate(seed: int, told: Callable[[str], None] | None = None, *, cruel: bool = False) -> Report:
    """Run one seed; what is broken, if anything, is in the report."""
    simulation = Simulation(seed, told, cruel=cruel)
    try:
        with simulated_surroundings(simulation.hub.now):
            return simulation.run()
    except Broken as broken:
        return Report(seed, str(broken), simulation.hub.events, simulation.hub.digest, simulation.hub.time)
    finally:
        simulation.close()
