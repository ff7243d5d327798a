"""The collection `Plugins`: the types of plugins are kept, and what processes tell is believed while they live."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from transqueue.admin.report import ProcessReport
from transqueue.events import Events
from transqueue.mongodb import connect
from transqueue.mongodb.catalog import BELIEVED_SECONDS
from transqueue.plugins import PluginState
from transqueue.plugins.reporting import Reporting

TOLD = {"greet": {"state": "ok", "reason": "", "types": ["greet"]}, "a.$b": {"state": "broken", "reason": "$where"}}
WORKER = ProcessReport(role="worker", host="here", slot=0, pid=7, plugins=TOLD)


@pytest.fixture
def queue(mongo_uri, mongo_database):
    opened = connect(mongo_uri, mongo_database)
    yield opened
    opened.close()


def test_types_are_remembered_beside_what_processes_tell(queue):
    queue.catalog.remember({"greet": ["greet", "a"], "pay": []})
    queue.catalog.tell(WORKER)
    assert queue.catalog.known_types() == {"greet": ["a", "greet"], "pay": []}


class Broken:
    """The table of a process in which the plugin `greet` is broken, as far as telling goes."""

    def __init__(self):
        self.learnt = []

    def states(self):
        return [PluginState(name="greet", state="broken", reason="it hangs")]

    failures = states

    def learn(self, known):
        self.learnt.append(known)


def test_a_process_in_which_a_plugin_is_broken_learns_what_it_has_claimed_elsewhere_since(queue):
    table = Broken()
    reporting = Reporting(table, queue.catalog, "api", 5000, Events())
    queue.catalog.remember({"greet": ["greet"]})
    reporting.tell()
    assert table.learnt == [{}, {"greet": ["greet"]}]
    reporting.close()
    assert list(queue.catalog.reports()) == []


def test_a_process_that_ends_says_no_last_word_in_the_place_of_the_next_one(queue):
    ending = Reporting(Broken(), queue.catalog, "api", 5000, Events())
    (told,) = queue.catalog.reports()
    following = replace(told, pid=told.pid + 1, at=None)
    queue.catalog.tell(following)
    ending.close()
    assert [one.pid for one in queue.catalog.reports()] == [following.pid]


def test_what_each_process_tells_is_read_with_the_time(queue):
    queue.catalog.tell(WORKER)
    queue.catalog.tell(replace(WORKER, role="api", slot=5000))
    api, worker = queue.catalog.reports()
    assert (api.role, replace(worker, at=None)) == ("api", WORKER)
    assert abs(worker.at - queue.clock.now()) < timedelta(seconds=10)


def test_the_next_process_in_a_place_follows_the_one_before_and_is_not_withdrawn_by_it(queue):
    queue.catalog.tell(WORKER)
    following = replace(WORKER, pid=8, plugins={})
    queue.catalog.tell(following)
    queue.catalog.withdraw(WORKER)
    assert [one.pid for one in queue.catalog.reports()] == [8]
    queue.catalog.withdraw(following)
    assert list(queue.catalog.reports()) == []


def test_what_was_told_long_ago_is_not_believed(queue):
    queue.catalog.tell(WORKER)
    long_ago = queue.clock.now() - timedelta(seconds=BELIEVED_SECONDS + 60)
    queue.database["Plugins"].update_one({"pid": 7}, {"$set": {"at": long_ago}})
    assert list(queue.catalog.reports()) == []
