"""The checks that every plugin can run on itself: each one fails for a plugin that lacks what it is about."""

from __future__ import annotations

import inspect
import sys
import textwrap

import pytest

from transqueue.config import Config
from transqueue.plugins import Found
from transqueue.testing import PluginContract
from transqueue.testing.import_watch import watch_import, watch_loading

GOOD = '''
"""Say hello."""
from marshmallow import Schema, fields
from transqueue import handler, hookimpl

class Config(Schema):
    greeting = fields.String(load_default="Hello", metadata={"description": "The word."})

class Greeting(Schema):
    name = fields.String(required=True, metadata={"example": "Ada"})

@hookimpl
def transqueue_config_schema():
    return Config

@handler("hello", schema=Greeting)
def hello(transaction, context):
    """Say hello."""
    return {"text": context.config["greeting"]}
'''

CHECKS = [name for name, _ in inspect.getmembers(PluginContract, inspect.isfunction) if name.startswith("test_")]


@pytest.fixture
def check(make_tq, tmp_path, monkeypatch):
    """The function `check(name, old, new, **attributes)`: one check of a plugin that has something else in it."""
    monkeypatch.syspath_prepend(tmp_path)

    def run(name, old="", new="", **attributes):
        code = GOOD.replace(old, new) if old else GOOD
        assert not old or code != GOOD
        module = f"acme_{abs(hash((name, old, new)))}"
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(code))
        imported = __import__(module)
        kind = type("TestContract", (PluginContract,), {"plugin": "acme", **attributes})

        def make(config=None):
            return make_tq(config, provides={"acme": imported})

        try:
            getattr(kind(), name)(make)
        finally:
            del sys.modules[module]

    return run


def refused(check, name, old, new, words, **attributes):
    with pytest.raises(Exception, match=words):
        check(name, old, new, **attributes)


@pytest.mark.parametrize("name", CHECKS)
def test_a_good_plugin_passes(check, name):
    check(name)


def test_one_that_does_not_load_fails(check):
    loads = "test_it_loads_with_its_configuration"
    refused(check, loads, "def transqueue_config_schema", "def transqueue_config_shema", "did you mean")
    refused(check, loads, '"hello", schema', '"hel lo", schema', "a type is letters")
    refused(check, loads, '@handler("hello", schema=Greeting)\n', "", "claims no")
    refused(check, loads, 'load_default="Hello"', "required=True", "Missing data")
    check(loads, 'load_default="Hello"', "required=True", config={"greeting": "Good day"})


def test_one_without_a_docstring_fails(check):
    refused(check, "test_its_handlers_are_documented", '    """Say hello."""\n', "", "no docstring")


def test_one_with_an_option_that_nobody_explains_fails(check):
    refused(check, "test_its_options_are_documented", ', metadata={"description": "The word."}', "", "greeting")


def test_one_with_a_schema_beyond_description_fails(check):
    named = 'name = fields.String(required=True, metadata={"example": "Ada"})'
    beyond = 'name = fields.String(metadata={"description": {("a", "b"): 1}})'
    refused(check, "test_its_schemas_can_be_described", named, beyond, "cannot be described")


def test_one_whose_example_is_refused_fails(check):
    shown = 'required=True, metadata={"example": "Ada"}'
    hidden = 'required=True, validate=__import__("marshmallow").validate.Regexp("Ada")'
    refused(check, "test_its_examples_are_accepted", shown, hidden, "does not match expected pattern")
    check("test_its_examples_are_accepted", shown, hidden, examples={"hello": {"name": "Ada"}})


@pytest.mark.parametrize("bad", ["{1, 2}", "1 / 0", "context.db.x", '"x" * 20_000'])
def test_one_whose_example_ends_badly_fails(check, bad):
    refused(check, "test_its_examples_end_well", '{"text": context.config["greeting"]}', bad, "an attempt of 'hello'")
    check("test_its_examples_end_well", '{"text": context.config["greeting"]}', bad, outside=["hello"])


@pytest.mark.parametrize(
    "doing",
    [
        "import socket; socket.socket().connect_ex(('127.0.0.1', 9))",
        "import subprocess; subprocess.run(['true'])",
        "open('left_behind', 'w').close()",
        "import os; os.mkdir('folder')",
    ],
)
def test_input_and_output_while_it_is_imported_is_seen(tmp_path, monkeypatch, doing):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "acme_busy.py").write_text(doing + "\n")
    assert watch_import("acme_busy").doings


def test_input_and_output_while_it_is_asked_for_its_handlers_is_seen(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    asked = "    open('left_behind', 'w').close()\n    return [hello]\n"
    hook = f"@hookimpl\ndef transqueue_handlers(config):\n    assert config['greeting'] == 'Hi'\n{asked}"
    (tmp_path / "acme_asked.py").write_text(textwrap.dedent(GOOD) + hook)
    found = Found("acme", "acme_asked", "acme", "1")
    seen = watch_loading(found, Config(root=tmp_path), {"greeting": "Hi"})
    assert (seen.doings, seen.declaring) == ((), ("open 'left_behind' for writing",))


def test_an_import_that_takes_long_is_seen(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "acme_slow.py").write_text("import time\nwhile time.process_time() < 1.0: pass\n")
    assert watch_import("acme_slow").seconds > 0.05
    with pytest.raises(RuntimeError, match="No module named 'acme_absent'"):
        watch_import("acme_absent")
