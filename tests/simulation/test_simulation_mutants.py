"""What the simulation is worth: the product without its fence, with one that only reads, or out of order, is caught."""

from __future__ import annotations

import pytest
from simulation.mutants import MUTANTS
from simulation.seeds import report_of

MOST_SEEDS = 400
# Shortly before the first that notices, where that is late.
FIRST_SEEDS = {"nothing held back": 350, "told beside its end": 150}


def first_caught(name, breach=""):
    """The first seed that notices the mutant, by this breach."""
    with MUTANTS[name]():
        first = FIRST_SEEDS.get(name, 0)
        reports = (report_of(seed, cruel=True) for seed in range(first, first + MOST_SEEDS))
        return next((one for one in reports if one.breach and breach in one.breach), None)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_caught(name):
    caught = first_caught(name)
    assert caught, f"{name}: nothing was noticed in {MOST_SEEDS} seeds"
    print(f"\n{name}: seed {caught.seed}: {caught.breach}")
    assert not report_of(caught.seed, cruel=True).breach, "it is the mutant's doing"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["no fence", "a fence that only reads"])
def test_an_effect_that_happened_twice_is_what_a_mutant_costs(name, monkeypatch):
    """Without the watch over every write: what is left in the end shows it."""
    monkeypatch.setattr("simulation.verdict.Watch.saw", lambda *_: None)
    caught = first_caught(name, "effects")
    assert caught, f"{name}: no effect happened twice in {MOST_SEEDS} seeds"
