from types import SimpleNamespace

import pytest
from marshmallow import ValidationError
from transqueue_greet import Greeting, greet


def test_it_greets_by_name():
    transaction = SimpleNamespace(data=Greeting().load({"name": "Ada"}))
    assert greet(transaction, None) == {"message": "Hello Ada"}


@pytest.mark.parametrize("data", [{}, {"name": 3}, {"name": None}, {"name": "Ada", "age": 36}])
def test_data_that_is_no_greeting_is_refused(data):
    with pytest.raises(ValidationError):
        Greeting().load(data)
