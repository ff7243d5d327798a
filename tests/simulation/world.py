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


@dataclass(frozen=True, slots=True)
class Size:
    """How much happens in one simulation, at most; times in seconds.

    Attributes:
        submitters, each: how many submit, at least and at most, and what each sends at most.
        types: how many types of transactions are sent besides `pay`, at least and at most; with none one type alone is.
        words: how many runs of a transaction come before its last word, at most.
        trouble_seconds: how long the trouble lasts, at least and at most.
        troubles: how often something goes wrong by itself, besides the weather and the strikes.
        pause_seconds, freeze_seconds: how long a process, or a whole host, stands still.
        operated: how often there is an operator.
        alone: how often there is one host, and not two.
    """

    submitters: tuple[int, int]
    each: int
    types: tuple[int, int]
    words: int
    trouble_seconds: tuple[float, float]
    troubles: int
    pause_seconds: float
    freeze_seconds: float
    operated: float
    alone: float


LARGE = Size(
    submitters=(2, 2),
    each=3,
    types=(2, 2),
    words=3,
    trouble_seconds=(2.5, 7.0),
    troubles=3,
    pause_seconds=15.0,
    freeze_seconds=25.0,
    operated=1.0,
    alone=0.0,
)
SMALL = Size(
    submitters=(1, 2),
    each=3,
    types=(1, 1),
    words=2,
    trouble_seconds=(0.8, 2.4),
    troubles=2,
    pause_seconds=7.0,
    freeze_seconds=11.0,
    operated=0.25,
    alone=0.2,
)
TINY = Size(
    submitters=(1, 1),
    each=2,
    types=(1, 1),
    words=1,
    trouble_seconds=(0.4, 1.0),
    troubles=1,
    pause_seconds=5.0,
    freeze_seconds=8.0,
    operated=0.0,
    alone=0.6,
)
SIZES = {"large": (0.03, LARGE), "small": (0.1, SMALL), "tiny": (0.87, TINY)}  # how often each
QUIET_ONES = 0.9  # hosts that send nothing that decides nothing


class Simulation:
    """Hosts, a database and people, for a while in bad weather, then in good.

    Args:
        cruel: hosts stand still wherever it hurts, until after their leases lapsed: what mutants do not survive.
    """

    def __init__(self, seed: int, told: Callable[[str], None] | None = None, *, cruel: bool = False) -> None:
        self.cruel = cruel
        self.hub = hub = Hub(seed, told=told)
        self.kind = hub.random.choices(list(SIZES), [share for share, _ in SIZES.values()])[0]
        self.size = size = SIZES[self.kind][1]
        self.network = SimulatedNetwork(hub)
        self.network.store.unique["Q"] = [("submitter", "idempotency.key")]
        self.watch = Watch(self.network.store)
        self.errands = Errands(hub, self.network.server_time, more_types=hub.random.randint(*size.types))
        self.people = People(
            hub, self.network, self.errands, harsh=hub.chance(0.5), words=size.words, operated=size.operated
        )
        lease = hub.random.choice((5.0, 6.0, 8.0))
        self.lease = lease
        self.hosts_keep_time = hub.chance(0.4) and not cruel
        self.trouble_seconds = hub.between(*size.trouble_seconds)
        config = Config(workers=WorkersConfig(processes=1, lease_seconds=lease, stop_seconds=5))
        two = Config(workers=WorkersConfig(processes=2, lease_seconds=lease, stop_seconds=5))
        quiet = hub.chance(QUIET_ONES)
        self.hosts = [Host(hub, self.network, "a", two if hub.chance(0.2) else config, self.errands, quiet=quiet)]
        if not hub.chance(size.alone):
            self.hosts.append(Host(hub, self.network, "b", config, self.errands, quiet=quiet))

    def run(self) -> Report:
        """Let everything happen.

        Raises:
            Broken: a promise did not hold.
        """
        hub = self.hub
        self.network.weather = self._weather()
        self.people.start(
            hub.random.randint(*self.size.submitters), hub.random.randint(1, self.size.each), self.trouble_seconds * 0.7
        )
        for _ in range(hub.random.randint(0, self.size.troubles)):
            hub.later(hub.between(0.3, self.trouble_seconds), self._trouble)
        self.network.supervisors_lag = hub.random.choice((0.002, 0.3, 0.8))
        self.network.strike = self._strike if hub.chance(0.8) or self.cruel else None
        hub.run(self.trouble_seconds)
        self.network.weather, self.network.strike, self.network.supervisors_lag = CALM, None, 0.002
        self._settle_down()
        self.network.store.settle_majority(float("inf"))
        judge(self.network.store, self.people, self.errands, hosts_keep_time=self.hosts_keep_time)
        return Report(hub.seed, events=hub.events, digest=hub.digest, seconds=hub.time, hits=self._hits())

    def _settle_down(self) -> None:
        """Without faults everything comes to its end, before long."""
        until = self.hub.time + LIVENESS_SECONDS
        while self.hub.time < until and (self.people.busy or not rests(self.network.store)):
            self.hub.run(self.hub.time + 0.25)
        paused = [process.paused_until for host in self.hosts for process in host.processes]
        wakes_at = max(paused, default=0.0)
        if wakes_at > self.trouble_seconds:
            self.hub.run(max(wakes_at, self.hub.time) + 0.5)  # who wakes up late may do no harm

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
            host.supervisor.pause(hub.between(0.1, self.size.pause_seconds))
        elif kind == 2:
            self.network.elect()
        elif kind == 3 and not self.hosts_keep_time:
            host.freeze(hub.between(1.0, self.size.freeze_seconds))
        elif workers and kind <= 6:
            hub.random.choice(workers).kill()
        elif workers:
            hub.random.choice(workers).inner.pause(hub.between(0.1, self.size.pause_seconds))

    def _strike(self, process: Process) -> None:
        """A worker in the middle of its work: it dies, is paused, or its host stands still."""
        hub, kind = self.hub, 3 if self.cruel else self.hub.random.randrange(4)
        host = next(one for one in self.hosts if process.name.startswith(f"{one.name}-"))
        if kind == 0:
            process.kill()
        elif kind == 1:
            process.pause(hub.between(0.1, self.size.pause_seconds))
        elif not self.hosts_keep_time:
            host.freeze(hub.between(self.lease * 0.9, self.lease + 8.0))
        elif kind == 2:
            self.network.elect()

    def _hits(self) -> dict[str, int]:
        hits = {**self.network.hits, self.kind: 1, f"{len(self.hosts)} hosts": 1}
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
        simulation.hub.close()
