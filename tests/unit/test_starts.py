"""A plugin that no worker survives when it starts: it is named and left out, and never waits for the others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.test_supervisor import House
from transqueue.config import Unusable
from transqueue.errors import PluginBroken
from transqueue.supervisor.starts import BOOT_SECONDS, DEATHS
from transqueue.worker.process import Starting

LIMIT = 7


@pytest.fixture
def house(monkeypatch):
    """A house of one worker that has been spawned."""
    monkeypatch.setenv("TRANSQUEUE_PROBE_SECONDS", str(LIMIT))
    house = House(monkeypatch, processes=1)
    house.turn()
    return house


def starts(house, plugin="bank", phase="startup", child=None):
    """The newest worker says whose code it is about to run."""
    child = child or house.children[-1]
    child.starting = Starting(plugin, phase, house.ticks.seconds)
    return child


def starts_without_the_bank(house):
    """The plugin keeps a worker for too long, and the next one starts without it."""
    starts(house)
    house.turn(LIMIT + 1)
    house.turn(1)
    house.turn(1)
    house.children[-1].begin()
    house.turn()


def dies(house, *, turns=100):
    """The newest worker ends, and the next is there."""
    count = len(house.children)
    house.children[-1].process.die(-11)
    house.turn()
    for _ in range(turns):
        if len(house.children) > count:
            return
        house.turn(1)
    raise AssertionError("nobody came after it")


def test_one_that_hangs_is_told_and_the_next_worker_starts_without_it(house):
    hanging = starts(house)
    house.turn(LIMIT)
    assert "kill" not in hanging.did
    house.turn(0.1)
    assert hanging.did[-1] == "kill"
    (told,) = house.told("plugin.broken")
    assert (told["plugin"], told["phase"]) == ("bank", "startup")
    assert told["reason"] == "a worker waited for it for more than 7 s"
    assert "plugins: {bank: {enabled: false}}" in told["cure"]
    house.turn(1)
    house.turn(1)
    assert dict(house.children[-1].config.unusable) == {"bank": Unusable("startup", told["reason"])}


def test_each_step_has_the_whole_limit(house):
    for number in range(20):
        starts(house, f"plugin{number}")
        house.turn(LIMIT - 1)
    assert house.told("plugin.broken") == []
    assert house.told("worker.boot_failed") == []
    assert "kill" not in house.children[-1].did


def test_one_that_is_not_ready_for_another_reason_is_not_laid_to_a_plugin(house):
    starts(house, "")
    house.turn(BOOT_SECONDS + 1)
    assert house.children[-1].did[-1] == "kill"
    assert house.told("plugin.broken") == []


def test_one_that_ends_worker_after_worker_is_left_out_and_not_before(house):
    for _ in range(DEATHS - 1):
        starts(house, phase="handlers")
        dies(house)
    assert house.told("plugin.broken") == []
    starts(house, phase="handlers")
    dies(house)
    (told,) = house.told("plugin.broken")
    assert (told["phase"], told["reason"]) == ("handlers", "it ends the worker (as the test said)")
    assert list(house.children[-1].config.unusable) == ["bank"]


def test_deaths_that_no_plugin_is_to_blame_for_leave_none_out(house):
    for _ in range(DEATHS + 1):
        starts(house, "")
        dies(house)
    assert house.told("plugin.broken") == []


def test_a_worker_that_starts_with_it_clears_it_of_the_deaths_before(house):
    for _ in range(DEATHS - 1):
        starts(house)
        dies(house)
    house.children[-1].begin()
    house.turn()
    dies(house)
    starts(house)
    dies(house)
    assert house.told("plugin.broken") == []


def test_strictly_it_refuses_the_start(house, monkeypatch):
    monkeypatch.setenv("TRANSQUEUE_STRICT", "1")
    starts(house)
    with pytest.raises(PluginBroken, match="a worker waited for it"):
        house.turn(LIMIT + 1)


def test_strictly_what_a_worker_refuses_refuses_the_start_but_never_ends_what_runs(house, monkeypatch):
    monkeypatch.setenv("TRANSQUEUE_STRICT", "1")
    house.children[-1].begin()
    house.turn()
    refused = PluginBroken("bank", "startup", "OSError: no gateway", "Correct it")
    dies(house)
    house.children[-1].refused = refused
    dies(house)
    starts(house)
    house.turn(LIMIT + 1)
    assert house.told("plugin.broken") == []


def test_strictly_a_plugin_that_breaks_in_the_first_worker_refuses_the_start(house, monkeypatch):
    house.children[-1].refused = PluginBroken("bank", "startup", "OSError: no gateway", "Correct it")
    house.children[-1].process.die(70)
    with pytest.raises(PluginBroken, match="no gateway"):
        house.turn()


# Beside an old set


def come(house):
    house.supervisor.bring_up(replace(house.supervisor._config), tolerated=[])
    return house.supervisor.succession


def test_a_newcomer_that_hangs_in_a_plugin_keeps_the_old_set_and_says_in_which(house):
    house.children[-1].begin()
    house.turn()
    succession = come(house)
    starts(house)
    house.turn(LIMIT + 1)
    assert "plugin 'bank' is broken (startup)" in succession.failure
    assert house.told("plugin.broken") == []


def test_a_plugin_that_was_left_out_is_tried_again_by_newcomers_and_left_out_again(house):
    starts_without_the_bank(house)
    succession = come(house)
    assert dict(house.children[-1].config.unusable) == {}
    starts(house)
    house.turn(LIMIT + 1)
    again = house.supervisor.succession
    assert again is not succession
    assert (again.failure, list(house.children[-1].config.unusable)) == ("", ["bank"])
    assert "bank" in again.tolerated
    house.children[-1].begin()
    house.turn()
    house.supervisor.adopt()
    dies(house)
    assert list(house.children[-1].config.unusable) == ["bank"]


def test_a_plugin_that_starts_in_the_newcomers_is_left_out_no_more(house):
    starts_without_the_bank(house)
    come(house)
    house.children[-1].begin()
    house.turn()
    house.supervisor.adopt()
    dies(house)
    assert dict(house.children[-1].config.unusable) == {}
