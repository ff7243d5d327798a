"""The smallest plugin's tests: what every plugin owes, and what this one does."""

from __future__ import annotations

import pytest

from transqueue.testing import PluginContract, SubmissionRefused


class TestContract(PluginContract):
    plugin = "greet"


def test_it_greets_by_name(tq):
    greeting = tq.submit("greet", {"name": "Ada"})
    tq.run()
    assert tq.get(greeting).result == {"message": "Hello Ada"}


@pytest.mark.parametrize("data", [{}, {"name": 3}, {"name": None}, {"name": "Ada", "age": 36}])
def test_data_that_is_no_greeting_is_refused(tq, data):
    with pytest.raises(SubmissionRefused):
        tq.submit("greet", data)
