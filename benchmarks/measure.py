"""What a measurement is: samples taken in alternation with a reference, the ratio of the two, and the target for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of one contender; `facts` are figures beside the main one (CPU of mongod for each transaction, say)."""

    value: float
    facts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be reached: at least, or with `at_most` at most, this ratio or (without a reference) this value."""

    limit: float
    at_most: bool = False

    def is_met(self, reached: float) -> bool:
        return reached <= self.limit if self.at_most else reached >= self.limit

    def __str__(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {told(self.limit)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a table: a contender, and what it is compared with; without samples, why there are none."""

    part: str
    what: str
    unit: str
    samples: tuple[Sample, ...] = ()
    reference: str = ""
    reference_samples: tuple[Sample, ...] = ()
    target: Target | None = None
    note: str = ""

    @property
    def value(self) -> float:
        return median(sample.value for sample in self.samples)

    @property
    def ratios(self) -> tuple[float, ...]:
        """Round by round, since the two of one round ran under the same conditions."""
        pairs = zip(self.samples, self.reference_samples, strict=False)
        return tuple(ours.value / theirs.value for ours, theirs in pairs if theirs.value)

    @property
    def reached(self) -> float | None:
        """What the target judges."""
        if not self.samples:
            return None
        return median(self.ratios) if self.reference else self.value

    @property
    def verdict(self) -> str:
        if self.target is None or self.reached is None:
            return ""
        return "met" if self.target.is_met(self.reached) else "missed"

    def facts(self) -> dict[str, float]:
        """The median of each fact."""
        names = {name: None for sample in self.samples for name in sample.facts}
        return {name: median(one.facts[name] for one in self.samples if name in one.facts) for name in names}


Contender = Callable[[], Sample]


def alternate(
    contenders: Mapping[str, Contender], rounds: int, tell: Callable[[str], None]
) -> dict[str, tuple[Sample, ...]]:
    """Run the contenders in turn, every second round backwards, so that what drifts meets all of them alike."""
    taken: dict[str, list[Sample]] = {name: [] for name in contenders}
    for number in range(rounds):
        order = list(contenders) if number % 2 == 0 else list(reversed(contenders))
        for name in order:
            tell(f"round {number + 1} of {rounds}: {name}")
            taken[name].append(contenders[name]())
    return {name: tuple(samples) for name, samples in taken.items()}


def told(value: float) -> str:
    """A figure with as many digits as mean something."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def spread(values: tuple[float, ...]) -> str:
    """From the least to the most."""
    return f"{told(min(values))} to {told(max(values))}" if len(values) > 1 else ""
