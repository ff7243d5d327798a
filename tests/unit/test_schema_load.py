"""Data that plainly fits a schema loads; whatever else there is about a schema is left to its load."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import EXCLUDE, INCLUDE, Schema, ValidationError, fields, post_load, pre_load, validate, validates
from marshmallow import validates_schema as validates_whole

from transqueue.schema_load import load, plain_of


class Address(Schema):
    city = fields.String(required=True, validate=validate.Length(1, 3))
    zip = fields.Integer(strict=True, allow_none=True)


class Order(Schema):
    """Fields of most kinds, one of them under another key and one of them only dumped."""

    name = fields.String(required=True)
    count = fields.Integer(load_default=1, validate=validate.Range(0, 9))
    price = fields.Decimal(allow_nan=False, data_key="cost")
    at = fields.AwareDateTime(format="iso")
    tags = fields.List(fields.String(validate=validate.OneOf(["a", "b"])))
    to = fields.Nested(Address)
    number = fields.Integer(dump_only=True)


class Tolerant(Order):
    class Meta:
        unknown = EXCLUDE


class Keeping(Order):
    class Meta:
        unknown = INCLUDE


class Odd(Schema):
    """One whose field fails in a way of its own."""

    name = fields.Function(deserialize=lambda value: 1 / value)


class Before(Order):
    @pre_load
    def change(self, data: Any, **_: Any) -> Any:
        return data


class After(Order):
    @post_load
    def refuse(self, _data: Any, **_: Any) -> Any:
        raise ValidationError("never")


class Whole(Order):
    @validates_whole
    def refuse(self, _data: Any, **_: Any) -> None:
        raise ValidationError("never")


class OneField(Order):
    @validates("name")
    def refuse(self, _value: Any, **_: Any) -> None:
        raise ValidationError("never")


class Loading(Order):
    def load(self, *_: Any, **__: Any) -> Any:
        raise ValidationError("never")


class Colliding(Schema):
    """Its load fails over where to put the second field."""

    first = fields.String(attribute="a")
    second = fields.String(attribute="a.b")


def refuse(*_: Any) -> Any:
    raise ValidationError("never")


class Prepared(Schema):
    name = fields.String(pre_load=refuse)


class Finished(Schema):
    name = fields.String(post_load=refuse)


class Given(Schema):
    name = fields.String(load_default=refuse)


class Picky(fields.String):
    def _validate(self, value: Any) -> None:
        refuse(value)


class Pickily(Schema):
    name = Picky()


class Checked(Schema):
    """One whose validators say no to some, and change nothing, whatever they return."""

    name = fields.String(required=True, validate=[validate.Length(1, 2), validate.Regexp("[a-z]"), lambda _: False])
    count = fields.Integer(allow_none=True, load_default=3, validate=validate.Range(1))


class Elsewhere(Schema):
    """One that keeps a field under another name."""

    name = fields.String(attribute="called", data_key="Name")
    made = fields.String(load_default=lambda: "now")


class OrderedDict(dict[str, Any]):
    pass


class InItsOwn(Order):
    dict_class = OrderedDict


PLAIN = [
    Order(),
    Tolerant(),
    Keeping(),
    Odd(),
    Elsewhere(),
    Checked(),
    Prepared(),
    Finished(),
    Given(),
    Pickily(),
    Order(only=("name", "count")),
    Order(exclude=("name",)),
]
LEFT_TO_LOAD = [
    Before(),
    After(),
    Whole(),
    OneField(),
    Loading(),
    Colliding(),
    InItsOwn(),
    Order(many=True),
    Order(partial=True),
    Order(partial=("name",)),
]

SCALARS = st.sampled_from(
    [None, True, 0, 1, -1, 5, 10**20, "", "a", "ann", "7", Decimal("1.5"), "2026-12-01T08:00:00Z"]
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["city", "zip", "b"]), inner, max_size=2)
    ),
    max_leaves=4,
)
RIGHT = {
    "name": "ann",
    "count": 5,
    "cost": Decimal("1.5"),
    "at": "2026-12-01T08:00:00Z",
    "tags": ["a"],
    "to": {"city": "a", "zip": None},
}
NAMES = [*RIGHT, "Name", "price", "number", "other"]


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    """Data that is right, with something left out and something else put in, so that much of it is nearly right."""
    left = {name: RIGHT[name] for name in draw(st.sets(st.sampled_from([*RIGHT])))}
    return left | draw(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=2))


def outcome(act: Any) -> tuple[Any, ...]:
    try:
        return "made", act()
    except Exception as error:
        return type(error), str(error)


@given(st.sampled_from(PLAIN), bodies() | SCALARS)
def test_a_load_makes_and_raises_what_marshmallows_does(schema: Schema, data: Any) -> None:
    assert outcome(lambda: load(schema, lambda: data)) == outcome(lambda: schema.load(data))


@given(st.sampled_from(PLAIN), bodies())
def test_it_is_quick_exactly_when_marshmallow_finds_nothing_wrong(schema: Schema, data: dict[str, Any]) -> None:
    plain = plain_of(schema)
    assert plain is not None
    assert (plain.load(data) is not None) == (outcome(lambda: schema.load(data))[0] == "made")


@pytest.mark.parametrize("schema", LEFT_TO_LOAD, ids=lambda schema: type(schema).__name__)
def test_a_schema_that_does_more_than_look_at_its_fields_is_left_to_load(schema: Schema) -> None:
    assert plain_of(schema) is None
    data = [RIGHT] if schema.many else RIGHT
    assert outcome(lambda: load(schema, lambda: data)) == outcome(lambda: schema.load(data))
