"""A frozen value is what `@dataclass(frozen=True, slots=True)` makes, in everything that can be seen of it."""

from __future__ import annotations

import copy
import inspect
import pickle
from dataclasses import FrozenInstanceError, asdict, dataclass, field, fields, replace

import pytest

from transqueue.frozen import frozen


def body(decorator):
    """One class, decorated: every kind of field that our values have, a property and something after the start."""

    @decorator(kw_only=False)
    class Parcel:
        """A parcel."""

        to: str
        weight: float = 1.5
        tags: list[str] = field(default_factory=list)
        secret: str = field(default="", repr=False)
        note: str = field(default="", compare=False)
        seen: bool = field(default=False, kw_only=True)

        def __post_init__(self):
            if self.weight < 0:
                raise ValueError("too light")

        @property
        def heavy(self):
            return self.weight > 2

    return Parcel


def by_dataclass(**options):
    return dataclass(frozen=True, slots=True, **options)


OURS, THEIRS = body(frozen), body(by_dataclass)
both = pytest.mark.parametrize("kind", [OURS, THEIRS], ids=["ours", "dataclass"])


@frozen
class Alone:
    one: int


@frozen(kw_only=True, slots=False)
class Loose:
    one: int
    two: tuple[int, ...] = ()


@frozen
class Nothing:
    """Has no field."""


@frozen
class Own:  # noqa: PLW1641
    one: int

    def __eq__(self, other):
        return True

    def __repr__(self):
        return "own"


@both
def test_it_is_made_shown_and_compared_as_a_dataclass_is(kind):
    one = kind("ann", 2.5, ["a"], "s", "n", seen=True)
    assert repr(one).endswith("Parcel(to='ann', weight=2.5, tags=['a'], note='n', seen=True)")
    assert one == kind("ann", 2.5, ["a"], "s", "another", seen=True)
    assert one != kind("ann", 2.5, ["a"], "t", seen=True)
    assert one != replace(one, seen=False)
    assert (one == 5, one.heavy, kind("ann").heavy) == (False, True, False)
    assert asdict(one) == {"to": "ann", "weight": 2.5, "tags": ["a"], "secret": "s", "note": "n", "seen": True}
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'to'"):
        kind()
    with pytest.raises(TypeError):
        kind("ann", 1.5, [], "", "", True)  # the last one goes by its name only
    with pytest.raises(ValueError, match="too light"):
        replace(one, weight=-1)


@both
def test_it_cannot_be_changed(kind):
    one = kind("ann")
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'to'"):
        one.to = "bob"
    with pytest.raises(FrozenInstanceError, match="cannot delete field 'to'"):
        del one.to
    assert not hasattr(one, "__dict__")
    assert one.to == "ann"


@both
def test_what_is_made_anew_is_no_two_values_own(kind):
    assert kind("ann").tags is not kind("ann").tags


@both
def test_it_is_copied_whole(kind):
    one = kind("ann", tags=["a"], note="n")
    for made in (copy.copy(one), copy.deepcopy(one)):
        assert (made, made.note) == (one, "n")
    assert copy.deepcopy(one).tags is not one.tags


def test_both_look_alike_from_outside():
    assert str(inspect.signature(OURS)) == str(inspect.signature(THEIRS))
    assert [one.name for one in fields(OURS)] == [one.name for one in fields(THEIRS)]
    assert (OURS.__match_args__, OURS.__slots__) == (THEIRS.__match_args__, THEIRS.__slots__)
    assert OURS.__init__.__qualname__.endswith("Parcel.__init__")
    assert OURS.__init__.__module__ == OURS.__module__ == __name__


def test_equal_values_have_equal_hashes_and_others_of_other_kinds_are_not_equal():
    assert len({Alone(1), Alone(1), Alone(2)}) == 2
    assert Alone(1) != Loose(one=1)
    assert (Nothing() == Nothing(), hash(Nothing())) == (True, hash(Nothing()))
    with pytest.raises(TypeError, match="unhashable"):
        hash(OURS("ann"))


def test_one_without_slots_is_frozen_too():
    one = Loose(one=1, two=(2,))
    with pytest.raises(FrozenInstanceError):
        one.one = 2
    assert vars(copy.deepcopy(one)) == {"one": 1, "two": (2,)}


@pytest.mark.parametrize("value", [Alone(1), Loose(one=1), Nothing()])
def test_it_goes_through_a_pickle(value):
    assert pickle.loads(pickle.dumps(value)) == value


def test_what_the_class_says_itself_stands():
    assert (Own(1) == 5, repr(Own(1)), Own.__hash__) == (True, "own", None)
