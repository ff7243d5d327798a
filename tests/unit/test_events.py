"""Events: told once to every listener; observing can break nothing."""

from __future__ import annotations

import pytest

from transqueue.events import Event, Events


def test_every_listener_hears_every_event_in_order():
    first, second = [], []
    events = Events(first.append, second.append)
    events.emit("worker.spawned", slot=0)
    events.emit("worker.ready", slot=0)
    assert first == second == [Event("worker.spawned", {"slot": 0}), Event("worker.ready", {"slot": 0})]


def test_a_raising_listener_stops_nobody_and_is_reported(capsys):
    heard = []

    def broken(event):
        raise ValueError(f"cannot bear {event.name}")

    Events(broken, heard.append, broken).emit("worker.died", slot=1)
    assert heard == [Event("worker.died", {"slot": 1})]
    assert capsys.readouterr().err.count("ValueError: cannot bear worker.died") == 2


def test_who_listens_later_hears_only_what_happens_later():
    events, heard = Events(), []
    events.emit("before")
    events.listen(heard.append)
    events.emit("after")
    assert [event.name for event in heard] == ["after"]


def test_an_event_cannot_be_changed_by_who_hears_it():
    with pytest.raises(AttributeError):
        Event("worker.died", {}).name = "worker.well"
