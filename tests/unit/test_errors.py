"""Errors: a name, a sentence and its facts, whole on the other side of a process border."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest

from transqueue import errors
from transqueue.errors import (
    AddressTaken,
    ClaimConflict,
    ConfigInvalid,
    KeysMissing,
    MongodNotStarted,
    NotAllowed,
    PluginBroken,
    Problem,
    QueueUnavailable,
    ReloadRefused,
    SessionKept,
    SubmissionRefused,
    TopologyRefused,
    TrackLost,
    TransQueueError,
    Unstorable,
)

LATE, EARLY = Problem(9, 1, "api.port", "too big"), Problem(2, 5, "plugins", "unknown key")
EXAMPLES = [
    TransQueueError("no"),
    ConfigInvalid("/etc/config.yaml", [LATE, EARLY]),
    PluginBroken("ledger", "import", "no such module", "Install it", problems=[EARLY]),
    ClaimConflict("two claim deposit"),
    AddressTaken("port 5000 is taken"),
    ReloadRefused("the file is not valid"),
    KeysMissing("0.0.0.0"),
    NotAllowed("no key"),
    TopologyRefused(),
    MongodNotStarted("the port is taken", "Choose another"),
    QueueUnavailable("no answer within 5 s"),
    TrackLost(),
    SessionKept("commit"),
    Unstorable(),
    SubmissionRefused(429, "too_many", "Wait.", errors={"data.value": ["Not a number."]}, retry_after_seconds=3),
]
by_name = pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)


def test_there_is_an_example_of_every_error_class():
    classes = {one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, Exception)}
    assert {type(example) for example in EXAMPLES} == classes


@by_name
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_crosses_a_process_border_whole(error, protocol):
    arrived = pickle.loads(pickle.dumps(error, protocol))
    assert type(arrived) is type(error)
    assert (str(arrived), arrived.args, vars(arrived)) == (str(error), error.args, vars(error))


@by_name
def test_a_copy_of_an_error_is_equal_in_all_its_facts(error):
    copied = copy.copy(error)
    assert (str(copied), vars(copied)) == (str(error), vars(error))


@by_name
def test_every_error_is_one_of_ours_and_says_something(error):
    assert isinstance(error, TransQueueError)
    assert str(error).strip()


@pytest.mark.parametrize("kind", [TransQueueError, TopologyRefused, QueueUnavailable, TrackLost, ClaimConflict])
def test_without_a_message_an_error_says_what_its_class_says(kind):
    assert str(kind()) == inspect.cleandoc(kind.__doc__)


def test_an_invalid_configuration_lists_its_problems_in_the_files_order():
    error = ConfigInvalid("config.yaml", [LATE, EARLY])
    assert error.problems == (EARLY, LATE)
    assert str(error) == "config.yaml:2:5: plugins: unknown key\nconfig.yaml:9:1: api.port: too big"


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (Problem(2, 5, "api.port", "too big"), "2:5: api.port: too big"),
        (Problem(0, 0, "api.port", "too big"), "api.port: too big"),
        (Problem(2, 5, "", "not a mapping"), "2:5: not a mapping"),
        (Problem(0, 0, "", "not a mapping"), "not a mapping"),
    ],
)
def test_a_problem_says_where_it_is_as_far_as_that_is_known(problem, said):
    assert str(problem) == said


def test_a_broken_plugin_tells_its_name_the_phase_the_reason_and_the_cure():
    error = PluginBroken("ledger", "import", "no module named 'money'", "Install it.", problems=[LATE, EARLY])
    assert str(error) == "plugin 'ledger' is broken (import): no module named 'money'. Install it."
    assert error.problems == (EARLY, LATE)


def test_a_refused_submission_keeps_its_own_copy_of_the_field_errors():
    given = {"data.value": ["Not a number."]}
    error = SubmissionRefused(400, "invalid_data", "No.", errors=given)
    given["data.value"].append("later")
    assert error.errors == {"data.value": ["Not a number."]}
    assert SubmissionRefused(400, "invalid_data", "No.").errors == {}
