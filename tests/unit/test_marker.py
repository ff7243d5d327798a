"""The mark that a worker leaves in memory shared with its supervisor."""

from __future__ import annotations

import multiprocessing

import pytest

from transqueue.process.marker import Marker

ID = "172312840112395849234"


@pytest.fixture
def marker():
    return Marker()


def elsewhere(action, *arguments, **options):
    """Do it in another process, spawned as workers are."""
    process = multiprocessing.get_context("spawn").Process(target=action, args=arguments, kwargs=options)
    process.start()
    process.join(60)
    assert process.exitcode == 0


def test_a_new_mark_is_idle(marker):
    mark = marker.read()
    assert (mark.doing, mark.turn, mark.id) == ("idle", 0, None)


def test_what_another_process_marks_is_read_here(marker):
    elsewhere(marker.running, ID, deadline=12.5, timeout_seconds=10)
    mark = marker.read()
    assert (mark.doing, mark.id, mark.deadline, mark.timeout_seconds) == ("running", ID, 12.5, 10.0)


def test_turns_go_on_across_processes(marker):
    marker.running(ID, deadline=1, timeout_seconds=1)
    elsewhere(marker.idle)
    assert marker.read().doing == "idle"
    assert marker.read().turn == 2


def test_the_turn_grows_with_every_mark(marker):
    turns = []
    for write in (marker.idle, marker.group, lambda: marker.running(ID, deadline=1, timeout_seconds=1), marker.idle):
        write()
        turns.append(marker.read().turn)
    assert turns == [1, 2, 3, 4]


def test_a_group_names_nobody_and_may_have_a_deadline(marker):
    marker.running(ID, deadline=5, timeout_seconds=5)
    marker.group(deadline=9, timeout_seconds=3)
    mark = marker.read()
    assert (mark.doing, mark.id, mark.deadline, mark.timeout_seconds) == ("group", None, 9.0, 3.0)


def test_what_has_no_deadline_is_never_overdue(marker):
    marker.group()
    assert marker.read().deadline == float("inf")
    marker.idle()
    assert marker.read().deadline == float("inf")


def test_a_half_written_mark_reads_as_idle(marker):
    marker.running(ID, deadline=1, timeout_seconds=1)
    with pytest.raises(ValueError, match="bytes too long"):
        marker.running("9" * 33, deadline=2, timeout_seconds=2)
    assert (marker.read().doing, marker.read().id) == ("idle", None)


def test_a_mark_that_was_read_does_not_change(marker):
    marker.running(ID, deadline=1, timeout_seconds=1)
    mark = marker.read()
    marker.idle()
    assert (mark.doing, mark.id) == ("running", ID)
