"""Who sweeps beside a supervisor: how long the rests are, what is told, and what a failing database changes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from transqueue.cli.sweeper import HURRIED_RESTS, IDLE_SECONDS, PATIENCE_SECONDS, RESTS, SHORTEST_REST, Sweeper
from transqueue.config import Config
from transqueue.errors import QueueUnavailable
from transqueue.events import Events
from transqueue.mongodb.sweep import Swept

FULL, OVER = Swept(500, 400, 100, over=False), Swept(20, 20, 0, over=True)


class House:
    """A sweeper whose steps are scripted, and take a second each unless said otherwise."""

    def __init__(self):
        self.seconds, self.takes, self.steps, self.asked, self.heard = 0.0, 1.0, [], [], []
        sweep = SimpleNamespace(step=self._step)
        self.sweeper = Sweeper(
            SimpleNamespace(sweep=sweep), Config, events=Events(self.heard.append), monotonic=lambda: self.seconds
        )

    def _step(self, retention, holder):
        self.asked.append(retention)
        self.seconds += self.takes
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    def turn(self, step):
        self.steps.append(step)
        return self.sweeper.turn()


@pytest.fixture
def house():
    return House()


def test_it_takes_a_twentieth_of_the_time(house):
    assert house.turn(FULL) == RESTS == 19


def test_a_step_that_takes_no_time_is_rested_from_too(house):
    house.takes = 0.0
    assert house.turn(FULL) == SHORTEST_REST


def test_when_that_is_not_enough_for_an_hour_it_hurries_until_it_has_caught_up(house):
    house.seconds = PATIENCE_SECONDS
    assert house.turn(FULL) == HURRIED_RESTS < RESTS
    assert house.turn(OVER) == IDLE_SECONDS
    assert house.turn(FULL) == RESTS


def test_what_went_is_told_once_it_has_caught_up_and_not_for_each_step(house):
    for step in (FULL, FULL, OVER, Swept()):
        house.turn(step)
    (event,) = house.heard
    assert (event.name, event.facts["removed"], event.facts["slimmed"]) == ("retention.swept", 820, 200)


def test_a_database_that_is_away_is_asked_again_later(house):
    assert house.turn(QueueUnavailable("away")) == IDLE_SECONDS
    assert house.heard == []


def test_by_default_what_is_done_goes_and_the_dead_stay(house):
    house.turn(OVER)
    days = {str(state): days for state, days in house.asked[0].days.items()}
    assert days["dead"] is None
    assert all(days[state] for state in ("done", "rejected", "cancelled"))
