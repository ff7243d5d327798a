"""A new set of workers beside the old one: adopted when all of it is well, dismissed when any of it is not."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from tests.unit.test_supervisor import House
from transqueue.config import WorkersConfig


@pytest.fixture
def house(monkeypatch):
    house = House(monkeypatch)
    house.begun()
    return house


@pytest.fixture
def coming(house):
    """The newcomers of a change from two workers to three."""
    config = replace(house.supervisor._config, workers=WorkersConfig(processes=3, stop_seconds=20))
    house.supervisor.bring_up(config, tolerated=["lame"])
    return house.supervisor.succession.children


def names(children):
    return [child.worker for child in children]


def test_the_old_ones_work_on_until_the_last_newcomer_is_ready(house, coming):
    for child in coming[:2]:
        child.begin()
    house.turn()
    assert not house.supervisor.succession.is_ready
    coming[2].begin()
    house.turn()
    assert house.supervisor.succession.is_ready
    assert house.log == []


def test_adopted_newcomers_take_every_slot_and_the_old_ones_drain(house, coming):
    for child in coming:
        child.begin()
    house.turn()
    house.supervisor.adopt()
    assert house.log == ["stop worker-0", "stop worker-1"]
    house.turn()
    assert names(house.supervisor.children) == ["worker-2", "worker-3", "worker-4"]
    assert [child.slot for child in house.supervisor.children] == [0, 1, 2]
    house.turn(60)
    assert names(house.supervisor.children) == ["worker-2", "worker-3", "worker-4"]


def test_an_old_one_that_does_not_end_is_killed_when_its_time_is_over(house, coming):
    house.children[0].stubborn = True
    for child in coming:
        child.begin()
    house.turn()
    house.supervisor.adopt()
    house.turn(19)
    assert "kill" not in house.children[0].did
    house.turn(2)
    house.turn()
    assert "kill" in house.children[0].did
    assert house.children[0].closed


def test_a_newcomer_that_cannot_start_keeps_the_old_set(house, coming):
    coming[1].process.die(70)
    house.turn()
    assert "a new worker ended before the change was done" in house.supervisor.succession.failure
    house.supervisor.dismiss()
    house.turn()
    assert names(house.supervisor.children) == ["worker-0", "worker-1"]
    assert house.log == ["stop worker-2", "stop worker-3", "stop worker-4"]


def test_a_plugin_that_breaks_in_a_newcomer_keeps_the_old_set_unless_it_was_broken_before(house, coming):
    coming[0].broken = {"lame": "as ever"}
    coming[0].begin()
    house.turn()
    assert house.supervisor.succession.failure == ""
    coming[1].broken = {"bank": "no gateway"}
    coming[1].begin()
    house.turn()
    assert house.supervisor.succession.failure == "plugin 'bank' breaks in a new worker: no gateway"


def test_a_newcomer_that_is_never_ready_keeps_the_old_set(house, coming):
    house.turn(121)
    assert "not ready after 120 s" in house.supervisor.succession.failure


def test_newcomers_end_with_the_others_when_all_is_stopped(house, coming):
    house.supervisor.stop()
    assert house.supervisor.children == []
    assert all(child.closed for child in house.children)


def test_nothing_of_a_change_stays_open(house, coming):
    for child in coming:
        child.begin()
    house.turn()
    house.supervisor.adopt()
    house.turn()
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(house.children[0].process.sentinel)
