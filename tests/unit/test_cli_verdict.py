"""What `transqueue bench` reads out of its figures."""

from __future__ import annotations

from dataclasses import replace

import pytest

from transqueue.cli.verdict import Figures, bottleneck, findings

NEAR = Figures(
    round_trip_ms=0.2,
    durable_write_ms=1.2,
    light_write_ms=0.3,
    enqueued_rate=30_000,
    drained_rate=10_000,
    pick_up_ms=4,
    workers=2,
    cores=2,
    same_machine=True,
    server_cores=2,
    server_us=90,
    worker_us=90,
)
FAR = replace(NEAR, same_machine=False, cores=8, server_cores=8)


@pytest.mark.parametrize(
    ("figures", "code"),
    [
        (NEAR, "machine_cpu"),
        (replace(FAR, server_us=700), "mongod_cpu"),
        (replace(FAR, worker_us=180), "worker_cpu"),
        (replace(FAR, round_trip_ms=4.0, durable_write_ms=5.0), "round_trip"),
        (replace(FAR, durable_write_ms=20.0), "durable_write"),
        (replace(NEAR, server_us=None), "unknown"),
        (replace(NEAR, worker_us=None), "unknown"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_what_is_busiest_or_else_longest_waited_for_is_the_limit(figures, code):
    found = bottleneck(figures)
    assert found.code == code
    assert found.change


def test_the_sentence_names_the_figures_it_goes_by():
    found = bottleneck(replace(FAR, server_us=700))
    assert found.sentence == "MongoDB's CPU is the limit: it uses 7.0 of its 8 cores."


def test_a_durable_write_is_told_in_its_parts_and_a_slow_disk_is_named():
    (acceptance,) = [one for one in findings(replace(NEAR, durable_write_ms=12.5)) if one.code == "acceptance"]
    assert "12.5 ms: 0.2 ms of it the way there and back, 12.2 ms the journal" in acceptance.sentence
    assert acceptance.change
    (quick,) = [one for one in findings(NEAR) if one.code == "acceptance"]
    assert not quick.change


def test_handlers_that_are_slower_than_the_queue_are_told_the_slowest_first():
    runs = (("fast", 0.00001), ("mail", 0.2), ("report", 3.0))
    told = [one.sentence for one in findings(replace(NEAR, runs=runs)) if one.code == "handler"]
    assert [sentence.split()[2] for sentence in told] == ["report", "mail"]
    assert "at most 10 a second" in told[1]
