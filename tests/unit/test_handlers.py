"""The `@handler` mark, and the context that a handler gets."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import pytest
from marshmallow import Schema, fields

from transqueue import Context, Handler, handler
from transqueue.handlers import NoDatabase, marks
from transqueue.transaction import Transaction


class Greeting(Schema):
    name = fields.String(required=True)


def target(transaction, context):
    """Say hello.

    At length.
    """
    return {"hello": transaction.data["name"]}


def context(**fields):
    return Context(config={"rate": 2}, deadline=10.0, **fields)


def test_a_mark_leaves_the_function_as_it_is():
    def greet(transaction, context):
        return "hello"

    assert handler("greet")(greet) is greet
    assert greet(None, None) == "hello"
    assert marks(greet)[0].target is greet


def test_a_bare_mark_has_the_documented_defaults():
    (mark,) = marks(handler("greet")(lambda transaction, context: None))
    found = {field.name: getattr(mark, field.name) for field in dataclasses.fields(mark) if field.name != "target"}
    assert found == {
        "type": "greet",
        "schema": None,
        "max_attempts": 8,
        "backoff_seconds": (2.0, 300.0),
        "timeout_seconds": 60.0,
        "transactional": False,
        "ordering_key": None,
        "after_dead": "block",
        "batch": False,
        "plugin": "",
        "distribution": "",
        "version": "",
        "fingerprint": "",
    }


@pytest.mark.parametrize("schema", [Greeting, Greeting()])
def test_a_schema_is_given_as_a_class_or_as_an_object(schema):
    (mark,) = marks(handler("greet", schema=schema)(lambda transaction, context: None))
    assert isinstance(mark.schema, Greeting)


def test_one_function_may_be_marked_for_several_types():
    @handler("a")
    @handler("b", max_attempts=2)
    def both(transaction, context):
        pass

    assert [(mark.type, mark.max_attempts) for mark in marks(both)] == [("b", 2), ("a", 8)]


def test_a_class_is_made_with_its_configuration_and_called_for_each_attempt():
    @handler("greet")
    class Greet:
        """Greet from a class."""

        def __init__(self, config):
            self.greeting = config["greeting"]

        def __call__(self, transaction, context):
            return self.greeting

    (mark,) = marks(Greet)
    first, second = mark.callable({"greeting": "Hello"}), mark.callable({"greeting": "Moin"})
    assert (first(None, None), second(None, None)) == ("Hello", "Moin")
    assert mark.summary == "Greet from a class."


def test_a_function_is_called_as_it_is():
    assert Handler(type="greet", target=target).callable({"anything": 1}) is target


def test_a_subclass_is_not_marked_by_what_it_inherits():
    @handler("greet")
    class Greet:
        pass

    class Louder(Greet):
        pass

    assert marks(Louder) == ()
    assert [mark.type for mark in marks(handler("shout")(Louder))] == ["shout"]
    assert [mark.type for mark in marks(Greet)] == ["greet"]


@pytest.mark.parametrize("unmarked", [target, object(), 5, None, Greeting])
def test_what_was_not_marked_has_no_marks(unmarked):
    assert marks(unmarked) == ()


def test_the_summary_is_the_first_line_of_the_docstring():
    assert Handler(type="greet", target=target).summary == "Say hello."
    assert Handler(type="greet", target=lambda: None).summary == ""


@pytest.mark.parametrize(
    "type", ["deposit", "invoice.pay", "a.b.c", "a_b-c.1", "invoice.*", "a.b.*", "0", "_x", "x" * 128]
)
def test_well_formed_types_are_taken(type):
    (mark,) = marks(handler(type)(lambda transaction, context: None))
    assert mark.is_family == type.endswith(".*")


@pytest.mark.parametrize(
    "type", ["", "*", ".*", "a.", ".a", "a..b", "a b", "a*", "a.*.b", "-a", "$a", "a\n", "ä", "x" * 129, 5, None]
)
def test_other_types_are_refused_with_the_rule(type):
    with pytest.raises(ValueError, match=r"a type is letters, digits, '_' and '-', in parts joined by dots"):
        handler(type)(target)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"schema": int}, "schema must be a marshmallow Schema"),
        ({"schema": {"name": str}}, "schema must be a marshmallow Schema"),
        ({"max_attempts": 0}, "max_attempts must be from 1 to 1000"),
        ({"max_attempts": 1001}, "max_attempts must be from 1 to 1000"),
        ({"backoff_seconds": (0, 5)}, "0 < first <= longest <= 86400"),
        ({"backoff_seconds": (5, 2)}, "0 < first <= longest <= 86400"),
        ({"backoff_seconds": (1, 86_401)}, "0 < first <= longest <= 86400"),
        ({"backoff_seconds": (1, float("nan"))}, "0 < first <= longest <= 86400"),
        ({"timeout_seconds": 0}, "timeout_seconds must be more than 0 and at most 86400"),
        ({"timeout_seconds": float("inf")}, "timeout_seconds must be more than 0 and at most 86400"),
        ({"timeout_seconds": float("nan")}, "timeout_seconds must be more than 0 and at most 86400"),
        ({"after_dead": "wait"}, "after_dead must be 'block' or 'skip'"),
    ],
)
def test_an_option_out_of_its_range_is_refused_with_the_rule(options, message):
    def greet(transaction, context):
        pass

    with pytest.raises(ValueError, match=rf"^handler 'greet': .*{message}"):
        handler("greet", **options)(greet)
    assert marks(greet) == ()


def test_all_that_is_wrong_is_said_at_once():
    with pytest.raises(ValueError, match=r"max_attempts.*; timeout_seconds.*; after_dead"):
        handler("greet", max_attempts=0, timeout_seconds=0, after_dead="")(target)


def test_what_cannot_be_called_is_no_handler():
    class Number:
        pass

    with pytest.raises(ValueError, match="its target cannot be called"):
        handler("greet")(Number())


def test_an_override_is_a_copy_that_is_checked_again():
    mark = Handler(type="greet", target=target)
    assert mark.overridden(max_attempts=2).max_attempts == 2
    assert mark.max_attempts == 8
    with pytest.raises(ValueError, match="max_attempts must be from 1 to 1000"):
        mark.overridden(max_attempts=0)


def test_a_handler_can_be_called_directly_in_a_test_of_its_author():
    now = datetime(2026, 1, 1, tzinfo=UTC)
    transaction = Transaction(id="1", type="greet", data={"name": "Ada"}, created_at=now, due_at=now, max_attempts=1)
    assert target(transaction, context()) == {"hello": "Ada"}


def test_the_database_is_refused_to_other_handlers_with_the_cure():
    with pytest.raises(NoDatabase, match=r"declare @handler\(\.\.\., transactional=True\)"):
        _ = context().db


def test_the_database_of_a_transactional_handler_is_the_one_given():
    database = object()
    assert context(_db=database).db is database


def test_follow_ups_are_collected_in_order_and_their_ids_told():
    made = []

    def new(type, data, options):
        made.append((type, data, options))
        return Transaction(
            id=str(len(made)),
            type=type,
            data=data,
            created_at=datetime.now(UTC),
            due_at=datetime.now(UTC),
            max_attempts=1,
        )

    given = context(_new=new)
    assert given.follow_ups == ()
    assert given.enqueue("mail", {"to": "ann"}, delay_seconds=5) == "1"
    assert given.enqueue("log", {}) == "2"
    assert made == [("mail", {"to": "ann"}, {"delay_seconds": 5}), ("log", {}, {})]
    assert [one.type for one in given.follow_ups] == ["mail", "log"]


def test_a_refused_follow_up_is_not_collected():
    def refuse(type, data, options):
        raise ValueError(f"nobody claims {type}")

    given = context(_new=refuse)
    with pytest.raises(ValueError, match="nobody claims mail"):
        given.enqueue("mail", {})
    assert given.follow_ups == ()


def test_a_context_without_a_queue_says_that_it_cannot_enqueue():
    with pytest.raises(RuntimeError, match="cannot enqueue"):
        context().enqueue("mail", {})


def test_two_contexts_share_no_follow_ups():
    now = datetime(2026, 1, 1, tzinfo=UTC)
    mail = Transaction(id="1", type="mail", data={}, created_at=now, due_at=now, max_attempts=1)
    first, second = context(_new=lambda *_: mail), context()
    first.enqueue("mail", {})
    assert (first.follow_ups, second.follow_ups) == ((mail,), ())
