"""Plugins found and loaded: throw-away distributions, as pip would leave them, on the path of one test."""

import os
import subprocess
import sys
import textwrap
import types
import uuid

import click
import pytest

from transqueue import hookspecs
from transqueue.clock import HostClock
from transqueue.config import Config, PluginConfig, read_config
from transqueue.errors import ClaimConflict, ConfigInvalid, PluginBroken, SubmissionRefused
from transqueue.events import Events
from transqueue.plugins import installed, load_one, load_plugins
from transqueue.plugins.commands import plugin_cli
from transqueue.plugins.described import described
from transqueue.plugins.hooks import new_hooks
from transqueue.plugins.judge import judge_plugins
from transqueue.submission import Admission, read_envelope

GREET = """
    from transqueue import handler

    @handler("greet", max_attempts=3)
    def greet(transaction, context):
        '''Say hello.'''
"""
CONFIGURED = """
    from marshmallow import Schema, fields
    from transqueue import hookimpl

    class Options(Schema):
        gateway = fields.String(required=True)
        retries = fields.Integer(load_default=3, strict=True)

    @hookimpl
    def transqueue_config_schema():
        return Options
"""
ALL = {"p": PluginConfig()}


def state(table, name):
    [found] = [one for one in table.states() if one.name == name]
    return found


def written(folder, text):
    file = folder / "config.yaml"
    file.write_text(textwrap.dedent(text))
    file.chmod(0o600)
    return read_config(file, environ={})


# Finding


def test_installed_plugins_are_found_without_importing_them(site):
    package = site.install("p", "raise RuntimeError('imported')", distribution="acme-pay", version="2.1")
    found = installed()["p"]
    assert (found.name, found.value, found.distribution, found.version) == ("p", package, "acme-pay", "2.1")
    assert package not in sys.modules


def test_a_plugin_that_is_not_enabled_is_shown_and_never_imported(site, load):
    off = site.install("off", "raise RuntimeError('imported')")
    unmentioned = site.install("unmentioned", "raise RuntimeError('imported')", version="3.0")
    table = load({"off": PluginConfig(enabled=False)})
    assert [state(table, name).state for name in ("off", "unmentioned")] == ["disabled", "disabled"]
    assert state(table, "unmentioned").version == "3.0"
    assert not {off, unmentioned} & set(sys.modules)


def test_one_name_from_two_distributions_breaks_it_and_names_both(site, load):
    site.install("p", GREET, distribution="acme-pay", version="1.2")
    site.install("p", GREET, distribution="other-pay", version="3.4")
    broken = state(load(ALL), "p")
    assert (broken.state, broken.phase) == ("broken", "find")
    assert broken.reason == "acme-pay 1.2 and other-pay 3.4 both provide a plugin of this name"


def test_a_missing_plugin_parks_its_types_and_names_the_nearest_one(site, load):
    site.install("payments", GREET)
    table = load({"paymnts": PluginConfig(handlers={"pay": {"max_attempts": 2}}), "payments": PluginConfig()})
    missing = state(table, "paymnts")
    assert (missing.state, missing.types) == ("missing", ["pay"])
    assert missing.reason == "no plugin 'paymnts' is installed; did you mean 'payments'?"
    assert "plugins: {paymnts: {enabled: false}}" in missing.cure
    assert missing.reason in table.parked("pay")
    assert table.resolve("greet").plugin == "payments"


# A plugin that cannot be used costs the others nothing

BROKEN = [
    ("an import error", "import no_such_module_at_all", "import", "ModuleNotFoundError: No module named"),
    ("a syntax error", "def f(:\n    pass", "import", "SyntaxError: invalid syntax"),
    ("an exit while it is imported", "import sys; sys.exit(3)", "import", "SystemExit: 3"),
    ("an exception without words", "raise BaseException", "import", "BaseException"),
    (
        "an exception that cannot be shown",
        "class E(Exception):\n    def __str__(self): raise ValueError\nraise E",
        "import",
        "E: its message cannot be shown",
    ),
    (
        "a misspelt hook",
        "from transqueue import hookimpl\n@hookimpl\ndef transqueue_handler(config): return []",
        "hooks",
        "there is no hook 'transqueue_handler'; did you mean 'transqueue_handlers'?",
    ),
    (
        "a misspelt specname",
        "from transqueue import hookimpl\n@hookimpl(specname='transqueue_startupp')\ndef start(role): pass",
        "hooks",
        "there is no hook 'transqueue_startupp'; did you mean 'transqueue_startup'?",
    ),
    (
        "a wrong argument of a hook",
        "from transqueue import hookimpl\n@hookimpl\ndef transqueue_handlers(cofig): return []",
        "hooks",
        "transqueue_handlers has no argument 'cofig'; did you mean 'config'?",
    ),
    (
        "a hook that raises",
        "from transqueue import hookimpl\n@hookimpl\ndef transqueue_handlers(config): raise KeyError('rate')",
        "handlers",
        "KeyError: 'rate'",
    ),
    (
        "a hook that exits",
        "from transqueue import hookimpl\n@hookimpl\ndef transqueue_config_schema(): raise SystemExit",
        "config",
        "SystemExit",
    ),
    (
        "a schema that is none",
        "from transqueue import hookimpl\n@hookimpl\ndef transqueue_config_schema(): return dict",
        "config",
        "TypeError: transqueue_config_schema must return a marshmallow Schema, not <class 'dict'>",
    ),
    (
        "a hook that forgets to return",
        "from transqueue import hookimpl\n@hookimpl\ndef transqueue_handlers(config): pass",
        "handlers",
        "TypeError: transqueue_handlers must return the handlers, and returned nothing",
    ),
    (
        "a handler that is none",
        "from transqueue import hookimpl\n@hookimpl\ndef transqueue_handlers(config): return ['greet']",
        "handlers",
        "TypeError: transqueue_handlers returned 'greet', neither a Handler nor marked with @handler",
    ),
    (
        "a marked handler that is left out",
        GREET + "    from transqueue import hookimpl\n    @hookimpl\n    def transqueue_handlers(config): return []",
        "handlers",
        "ValueError: transqueue_handlers leaves out what is marked with @handler: greet",
    ),
    (
        "one type claimed twice",
        GREET + "    @handler('greet')\n    def hello(transaction, context): pass",
        "handlers",
        "ValueError: it claims 'greet' twice",
    ),
    (
        "a mark below another decorator",
        """
        from functools import wraps
        from transqueue import handler

        def quiet(function):
            @wraps(function)
            def run(*given): pass
            return run

        @quiet
        @handler("greet")
        def greet(transaction, context): pass
        """,
        "handlers",
        "ValueError: @handler('greet') must stand above all other decorators",
    ),
    (
        "a handler value that is not well formed",
        """
        from transqueue import Handler, hookimpl

        @hookimpl
        def transqueue_handlers(config): return [Handler(type="a b", target=print)]
        """,
        "handlers",
        "ValueError: handler 'a b': a type is letters",
    ),
    (
        "an example that fails its own schema",
        """
        from marshmallow import Schema, fields
        from transqueue import handler

        class Greeting(Schema):
            name = fields.String(required=True, metadata={"example": 7})

        @handler("greet", schema=Greeting)
        def greet(transaction, context): pass
        """,
        "handlers",
        "ValueError: the example of 'greet' does not pass its own schema: name: ['Not a valid string.']",
    ),
    (
        "an example that its schema as a whole refuses",
        """
        from marshmallow import Schema, ValidationError, fields, validates_schema
        from transqueue import handler

        class Move(Schema):
            source = fields.String(required=True, metadata={"example": "ann"})
            target = fields.String(required=True, metadata={"example": "ann"})

            @validates_schema
            def apart(self, data, **_):
                if data["source"] == data["target"]:
                    raise ValidationError("Must differ.", "target")

        @handler("greet", schema=Move)
        def move(transaction, context): pass
        """,
        "handlers",
        "ValueError: the example of 'greet' does not pass its own schema: target: ['Must differ.']",
    ),
    (
        "one made for a newer contract",
        "from transqueue import something_new\ntransqueue_api = '1.9'",
        "version",
        "it is made for version 1.9 of the plugin contract, and this is 1.0",
    ),
    (
        "one made for an older contract",
        "transqueue_api = '0.9'",
        "version",
        "it is made for version 0.9 of the plugin contract, and this is 1.0",
    ),
    (
        "a version that is none",
        "transqueue_api = 1",
        "version",
        "transqueue_api must be a version such as \"1.0\", not '1'",
    ),
    (
        "a wrong option of a mark",
        "from transqueue import handler\n@handler('greet', max_attempts=0)\ndef greet(transaction, context): pass",
        "import",
        "ValueError: handler 'greet': max_attempts must be from 1 to 1000",
    ),
]


@pytest.mark.parametrize(("code", "phase", "reason"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_a_broken_plugin_is_told_with_its_reason_while_the_others_go_on(site, load, heard, code, phase, reason):
    site.install("bad", code, version="9.9")
    site.install("good", GREET.replace('"greet"', '"good"'))
    table = load({"bad": PluginConfig(), "good": PluginConfig()}, known_types={"bad": ["greet"]})
    broken = state(table, "bad")
    assert (broken.state, broken.phase, broken.reason[: len(reason)]) == ("broken", phase, reason)
    assert (broken.distribution, broken.version, broken.types) == ("transqueue-bad", "9.9", ["greet"])
    assert broken.cure
    assert reason in table.parked("greet")
    assert table.resolve("greet") is None
    assert (table.resolve("good").plugin, state(table, "good").state) == ("good", "ok")
    assert [(event.name, event.facts["plugin"]) for event in heard] == [("plugin.broken", "bad")]


NEEDS_A_GATEWAY = """
from marshmallow import Schema, fields
from transqueue import handler, hookimpl

class Settings(Schema):
    gateway = fields.String(required=True)

@hookimpl
def transqueue_config_schema():
    return Settings

@handler("pay")
def pay(transaction, context): pass

@handler("invoice.*")
def invoice(transaction, context): pass
"""


def admitted(table, type):
    """The code with which the door refuses a transaction of a type."""
    admission = Admission(table=table, default_type="deposit", clock=HostClock(), events=Events())
    with pytest.raises(SubmissionRefused) as refused:
        admission.admit(read_envelope({"type": type, "data": {}}))
    return refused.value.status, refused.value.code


def test_the_types_that_a_plugin_marks_are_known_though_it_has_never_worked(site, load):
    site.install("p", NEEDS_A_GATEWAY)
    table = load(ALL)
    assert (state(table, "p").phase, state(table, "p").types) == ("config", ["invoice.*", "pay"])
    for type in ("pay", "invoice.send"):
        assert admitted(table, type) == (503, "handler_unavailable")
        assert "gateway: Missing data" in table.parked(type)


def test_types_that_nobody_can_know_are_refused_like_any_other_unknown_one(site, load):
    site.install("p", "import nonesuch\n" + NEEDS_A_GATEWAY)
    table = load(ALL)
    assert (state(table, "p").phase, state(table, "p").types) == ("import", [])
    assert admitted(table, "pay") == (400, "unknown_type")
    named = load({"p": PluginConfig(handlers={"pay": {"max_attempts": 3}})}, routes={"refund": "p"})
    assert {admitted(named, type) for type in ("pay", "refund")} == {(503, "handler_unavailable")}


def test_what_a_broken_plugin_claims_elsewhere_parks_here_unless_somebody_claims_it(site, load):
    site.install("p", "1 / 0")
    site.install("q", GREET)
    table = load({"p": PluginConfig(), "q": PluginConfig()})
    assert admitted(table, "pay") == (400, "unknown_type")
    table.learn({"p": ["greet", "greet.more", "pay", "invoice.*"], "q": ["other"], "gone": ["lost"]})
    assert {admitted(table, type) for type in ("pay", "invoice.send")} == {(503, "handler_unavailable")}
    assert {admitted(table, type) for type in ("other", "lost")} == {(400, "unknown_type")}
    assert (table.resolve("greet").plugin, state(table, "p").state) == ("q", "broken")
    assert "pay" in state(table, "p").types


def test_an_interrupt_from_the_keyboard_is_not_taken_for_a_broken_plugin(site, load):
    site.install("p", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load(ALL)


def test_an_entry_point_that_is_no_module_is_refused(site, load):
    package = site.install("q", GREET)
    site.describe("p", f"{package}:greet", "transqueue-p", "1.0")
    assert "must name a module" in state(load(ALL), "p").reason


def test_all_mistakes_in_the_hooks_of_a_plugin_are_told_together(site, load):
    site.install(
        "p",
        """
        from transqueue import hookimpl

        @hookimpl
        def transqueue_handler(config): pass

        @hookimpl
        def transqueue_startup(rol): pass
        """,
    )
    assert state(load(ALL), "p").reason.count("; did you mean") == 2


@pytest.mark.parametrize("name", ["broken", "missing"])
def test_strict_makes_a_broken_or_missing_plugin_fatal(site, load, monkeypatch, name):
    monkeypatch.setenv("TRANSQUEUE_STRICT", "1")
    site.install("broken", "1 / 0")
    with pytest.raises(PluginBroken) as refusal:
        load({name: PluginConfig()})
    assert refusal.value.name == name


def test_one_plugin_can_be_loaded_alone_in_a_process_of_its_own(site):
    site.install("p", "import os; os._exit(7)")
    site.install("q", GREET)
    program = "import sys; from transqueue.config import Config; from transqueue.plugins import load_one\n"
    program += "print(*load_one(sys.argv[1], Config()).handlers)"
    environ = {**os.environ, "PYTHONPATH": str(site.folder)}

    def probe(name):
        command = [sys.executable, "-c", program, name]
        return subprocess.run(command, env=environ, capture_output=True, timeout=60, check=False)

    assert probe("p").returncode == 7
    assert probe("q").stdout == b"greet\n"


def test_a_plugin_that_failed_leaves_nothing_registered(site):
    manager = new_hooks()
    site.install("p", GREET)
    with pytest.raises(PluginBroken):
        load_one("p", Config(plugins={"p": PluginConfig(handlers={"x": {}})}), manager=manager)
    assert manager.get_plugins() == set()


# Handlers


def test_marked_handlers_are_claimed_without_a_hook_and_carry_where_they_come_from(site, load):
    site.install("p", GREET, version="4.2")
    table = load(ALL)
    greet = table.resolve("greet")
    assert (greet.plugin, greet.distribution, greet.version) == ("p", "transqueue-p", "4.2")
    assert (greet.max_attempts, greet.summary) == (3, "Say hello.")
    assert dict(table.types()) == {"greet": greet}
    assert (state(table, "p").state, state(table, "p").types) == ("ok", ["greet"])


def test_marks_of_imported_submodules_count_and_those_of_other_packages_do_not(site, load):
    other = site.install("other", GREET)
    site.install(
        "p",
        f"from . import inner\nfrom {other} import greet\nfrom transqueue import handler",
        files={
            "inner.py": GREET.replace('"greet"', '"inner"'),
            "unused.py": GREET.replace('"greet"', '"unused"'),
        },
    )
    assert list(load(ALL).types()) == ["inner"]


def test_an_entry_point_to_a_module_in_a_package_claims_what_the_package_defines(site, load):
    package = site.install(
        "q", files={"plugin.py": "from . import deeds", "deeds.py": GREET, "other.py": GREET.replace("greet", "other")}
    )
    (site.folder / "transqueue_q-1.0.dist-info" / "entry_points.txt").write_text(
        f"[transqueue.plugins]\np = {package}.plugin\n"
    )
    assert list(load(ALL).types()) == ["greet"]


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_two_plugins_in_one_package_claim_only_what_their_own_modules_define(site, load, order):
    package = site.install(
        "a", files={"one.py": GREET.replace("greet", "one"), "two.py": GREET.replace("greet", "two")}
    )
    (site.folder / "transqueue_a-1.0.dist-info" / "entry_points.txt").write_text(
        f"[transqueue.plugins]\na = {package}.one\nb = {package}.two\n"
    )
    table = load({name: PluginConfig() for name in order})
    assert {type: handler.plugin for type, handler in table.types().items()} == {"one": "a", "two": "b"}


def test_a_module_with_the_hook_returns_its_handlers_itself(site, load):
    site.install(
        "p",
        """
        from marshmallow import Schema, fields
        from transqueue import Handler, handler, hookimpl

        class Options(Schema):
            refunds = fields.Boolean(load_default=False)

        @hookimpl
        def transqueue_config_schema():
            return Options()

        @handler("pay")
        @handler("pay.fast")
        def pay(transaction, context): pass

        class Refund:
            def __init__(self, config): pass
            def __call__(self, transaction, context): pass

        @hookimpl
        def transqueue_handlers(config):
            yield pay
            if config["refunds"]:
                yield Handler(type="refund", target=Refund)
        """,
    )
    assert sorted(load(ALL).types()) == ["pay", "pay.fast"]
    table = load({"p": PluginConfig(config={"refunds": True})})
    assert sorted(table.types()) == ["pay", "pay.fast", "refund"]
    assert table.resolve("refund").plugin == "p"


def test_a_family_is_claimed_and_an_exact_claim_of_another_plugin_wins(site, load):
    site.install("reports", GREET.replace('"greet"', '"report.*"'))
    site.install("daily", GREET.replace('"greet"', '"report.daily"'))
    table = load({"reports": PluginConfig(), "daily": PluginConfig()})
    assert [table.resolve(type).plugin for type in ("report.daily", "report.weekly")] == ["daily", "reports"]
    assert (table.resolve("report"), table.parked("report")) == (None, None)


def test_two_plugins_that_claim_one_type_stop_the_load_and_a_route_settles_it(site, load):
    site.install("a", GREET, distribution="acme-a", version="1.1")
    site.install("b", GREET, distribution="acme-b", version="2.2")
    both = {"a": PluginConfig(), "b": PluginConfig()}
    with pytest.raises(ClaimConflict) as refusal:
        load(both)
    for part in ("'greet'", "acme-a 1.1", "acme-b 2.2", "routes: {greet: a}", "plugins: {b: {enabled: false}}"):
        assert part in str(refusal.value)
    assert load(both, routes={"greet": "b"}).resolve("greet").plugin == "b"


def test_the_admins_word_replaces_the_plugins_defaults(site, load):
    site.install("p", GREET)
    fields = {"max_attempts": 9, "timeout_seconds": 5.0, "backoff_seconds": (1.0, 2.0), "after_dead": "skip"}
    greet = load({"p": PluginConfig(handlers={"greet": fields})}).resolve("greet")
    assert {name: getattr(greet, name) for name in fields} == fields


# Configuration


def test_a_plugins_section_is_checked_and_its_defaults_filled_in(site, load):
    site.install("p", CONFIGURED)
    table = load({"p": PluginConfig(config={"gateway": "x"})})
    assert dict(table.config_of("p")) == {"gateway": "x", "retries": 3}


def test_mistakes_in_a_plugins_section_break_it_and_are_told_with_their_places(site, load, tmp_path):
    site.install("p", CONFIGURED + GREET)
    config = written(
        tmp_path,
        """\
        plugins:
          p:
            config:
              retries: "3"
              gatway: x
            handlers:
              gret: {max_attempts: 2}
        """,
    )
    assert [str(problem) for problem in judge_plugins(config)] == [
        "3:5: plugins.p.config.gateway: Missing data for required field.",
        "4:16: plugins.p.config.retries: Not a valid integer.",
        "5:15: plugins.p.config.gatway: unknown option; did you mean 'gateway'?",
    ]
    table = load(config.plugins, known_types={"p": ["greet"]})
    assert (state(table, "p").state, state(table, "p").phase) == ("broken", "config")
    assert "did you mean 'gateway'?" in table.parked("greet")


def test_an_override_of_a_type_that_the_plugin_does_not_claim_is_told_with_its_place(site, tmp_path):
    site.install("p", GREET)
    config = written(tmp_path, "plugins:\n  p:\n    handlers:\n      gret: {max_attempts: 2}\n")
    [problem] = judge_plugins(config)
    assert (problem.line, problem.message) == (4, "plugin 'p' does not claim 'gret'; did you mean 'greet'?")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"max_attempts": 0}, "max_attempts must be from 1 to 1000"),
        ({"timeout_seconds": "soon"}, "not supported"),
        ({"max_attemps": 3}, "unknown key; did you mean 'max_attempts'?"),
        ({"target": print}, "unknown key"),
    ],
)
def test_an_override_that_makes_no_sense_breaks_the_plugin(site, load, fields, said):
    site.install("p", GREET)
    broken = state(load({"p": PluginConfig(handlers={"greet": fields})}), "p")
    assert (broken.state, broken.phase) == ("broken", "config")
    assert said in broken.reason


def test_a_plugin_without_a_schema_has_no_options(site, tmp_path):
    site.install("p", GREET)
    [problem] = judge_plugins(written(tmp_path, "plugins:\n  p:\n    config:\n      speed: 9\n"))
    assert (problem.line, problem.path, problem.message) == (4, "plugins.p.config.speed", "the plugin has no options")


def test_everything_else_wrong_with_plugins_is_judged_with_its_place(site, tmp_path):
    site.install("a", GREET)
    site.install("b", GREET)
    site.install("bad", "1 / 0")
    config = written(tmp_path, "plugins:\n  a: {}\n  b: {}\n  bad: {}\n  gone: {}\n")
    assert [(problem.line, problem.path) for problem in judge_plugins(config)] == [
        (1, "routes"),
        (4, "plugins.bad"),
        (5, "plugins.gone"),
    ]
    routed = written(tmp_path, "plugins:\n  a: {}\n  b: {}\nroutes: {greet: a, gret: b}\n")
    [problem] = judge_plugins(routed)
    assert (problem.line, problem.path) == (4, "routes.gret")
    with pytest.raises(ConfigInvalid):
        load_plugins(routed, events=Events())


def test_nothing_is_wrong_with_plugins_that_load(site, tmp_path):
    site.install("p", GREET)
    assert judge_plugins(written(tmp_path, "plugins:\n  p: {}\n")) == []


# transaction_module


@pytest.fixture
def module(site, tmp_path, load):
    """`module(code)`: the table with this code as transaction_module, beside config.yaml."""

    def module(code, **more):
        name = f"nightly_{uuid.uuid4().hex[:12]}"
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(code))
        return load(more.pop("plugins", {}), root=tmp_path, transaction_module=name, **more)

    return module


class Sent:
    id = "123"
    data = {"username": "ann", "value": 1.5}  # noqa: RUF012


@pytest.mark.parametrize("name", ["process", "process_transaction"])
def test_a_transaction_module_processes_the_default_type_with_a_plain_dict(module, name):
    table = module(
        f"def {name}(transaction):\n    '''Book it.'''\n    return [type(transaction).__name__, transaction]"
    )
    handler = table.resolve("deposit")
    given = {"username": "ann", "value": 1.5, "transaction_id": "123"}
    assert handler.callable(table.config_of("transaction_module"))(Sent, None) == ["dict", given]
    assert (handler.plugin, handler.summary) == ("transaction_module", "Book it.")
    assert state(table, "transaction_module").state == "ok"


def test_a_transaction_module_wins_over_a_plugin_that_claims_the_default_type(site, module):
    site.install("p", GREET)
    table = module("def process(transaction): pass", plugins=ALL, default_type="greet")
    assert table.resolve("greet").plugin == "transaction_module"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("def proces(transaction): pass", "has no function process(transaction)"),
        ("def process(): pass", "TypeError: too many positional arguments"),
        ("def process(transaction, context): pass", "TypeError: missing a required argument: 'context'"),
    ],
)
def test_the_default_type_of_a_broken_transaction_module_parks_and_does_not_fall_to_a_plugin(
    site, module, code, reason
):
    site.install("p", GREET)
    table = module(code, plugins=ALL, default_type="greet")
    assert table.resolve("greet") is None
    assert reason in table.parked("greet")
    broken = state(table, "transaction_module")
    assert (broken.state, broken.types) == ("broken", ["greet"])


def test_a_missing_transaction_module_is_a_mistake_in_the_configuration(site, tmp_path):
    config = written(tmp_path, "transaction_module: no.such.module\n")
    [problem] = judge_plugins(config)
    assert (problem.line, problem.path) == (1, "transaction_module")
    assert "No module named 'no'" in problem.message


def test_the_folder_of_the_configuration_comes_last_on_the_path(module, tmp_path):
    module("def process(transaction): pass")
    assert sys.path[-1] == str(tmp_path)


@pytest.mark.parametrize(
    "data",
    [
        {"username": "", "value": 1},
        {"username": "ann"},
        {"username": "ann", "value": "1"},
        {"username": "ann", "value": True},
        {"username": "ann", "value": 10**15},
        {"username": "ann", "value": float("nan")},
        {"username": "ann", "value": 1e-19},
        {"username": "ann", "value": 1, "more": 1},
    ],
)
def test_data_that_a_transaction_module_is_not_promised_is_refused(module, data):
    schema = module("def process(transaction): pass").resolve("deposit").schema
    assert schema.validate(data)
    assert schema.validate({"username": "ann", "value": 150.0}) == {}


# Startup and shutdown

STARTS = """
    import os
    from transqueue import handler, hookimpl

    SEEN = []

    @handler("TYPE")
    def run(transaction, context): pass

    @hookimpl
    def transqueue_startup(role, config):
        SEEN.append(("startup", role, dict(config)))
        START

    @hookimpl
    def transqueue_shutdown(role):
        SEEN.append(("shutdown", role))
        STOP
"""


def starts(site, name, start="pass", stop="pass"):
    package = site.install(name, STARTS.replace("TYPE", name).replace("START", start).replace("STOP", stop))
    return lambda: sys.modules[package].SEEN


def test_startup_and_shutdown_reach_each_plugin_once_with_its_own_section(site, load):
    seen = [starts(site, name) for name in ("a", "b")]
    table = load({"a": PluginConfig(), "b": PluginConfig()})
    table.startup("worker")
    table.shutdown("worker")
    table.shutdown("worker")
    assert [one() for one in seen] == [[("startup", "worker", {}), ("shutdown", "worker")]] * 2


@pytest.mark.parametrize("start", ["1 / 0", "raise SystemExit(1)"])
def test_a_plugin_that_cannot_start_is_broken_in_this_process_and_its_types_park(site, load, heard, start):
    bad, good = starts(site, "bad", start), starts(site, "good")
    table = load({"bad": PluginConfig(), "good": PluginConfig()})
    table.startup("worker")
    assert (table.resolve("bad"), table.resolve("good").plugin) == (None, "good")
    assert "(startup)" in table.parked("bad")
    assert (state(table, "bad").state, state(table, "bad").types) == ("broken", ["bad"])
    table.shutdown("worker")
    assert ("shutdown", "worker") in good()
    assert ("shutdown", "worker") not in bad()
    assert [event.facts["phase"] for event in heard] == ["startup"]


@pytest.mark.parametrize("stop", ["1 / 0", "raise SystemExit(1)"])
def test_a_plugin_that_cannot_shut_down_is_told_and_the_others_still_do(site, load, heard, stop):
    good = starts(site, "a")
    starts(site, "bad", stop=stop)
    table = load({"a": PluginConfig(), "bad": PluginConfig()})
    table.startup("api")
    table.shutdown("api")
    assert ("shutdown", "api") in good()
    assert [event.facts["phase"] for event in heard] == ["shutdown"]


# Commands

COMMANDS = """
    import click
    from transqueue import hookimpl

    @hookimpl
    def transqueue_cli(config):
        return GROUP
"""


def test_the_commands_of_a_plugin_load_only_that_plugin(site):
    site.install("p", COMMANDS.replace("GROUP", "click.Group('mine')"))
    other = site.install("other", "raise RuntimeError('imported')")
    group = plugin_cli(Config(plugins={"p": PluginConfig(), "other": PluginConfig()}), "p")
    assert isinstance(group, click.Group)
    assert group.name == "mine"
    assert other not in sys.modules


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [
        ("p", GREET, "it has no commands"),
        ("p", COMMANDS.replace("GROUP", "print"), "transqueue_cli must return a click.Group"),
        ("p", COMMANDS.replace("GROUP", "1 / 0"), "ZeroDivisionError"),
        ("pp", GREET, "no plugin 'pp' is enabled; did you mean 'p'?"),
        ("off", GREET, "no plugin 'off' is enabled"),
    ],
)
def test_a_plugin_without_usable_commands_says_why(site, name, code, reason):
    site.install("p", code)
    with pytest.raises(PluginBroken) as refusal:
        plugin_cli(Config(plugins={"p": PluginConfig(), "off": PluginConfig(enabled=False)}), name)
    assert refusal.value.reason.startswith(reason)


# The plugins of this repository


def test_the_plugins_of_this_repository_load_from_their_entry_points(load):
    table = load({"ledger": PluginConfig(), "greet": PluginConfig()})
    claims = {type: (handler.plugin, handler.transactional) for type, handler in table.types().items()}
    assert claims == {"deposit": ("ledger", True), "transfer": ("ledger", True), "greet": ("greet", False)}
    assert table.resolve("deposit").distribution == "transqueue-ledger"


def test_the_ledgers_commands_are_found_by_its_name():
    group = plugin_cli(Config(plugins={"ledger": PluginConfig()}), "ledger")
    assert sorted(group.commands) == ["balance", "verify"]


# Versions and deprecations


def test_one_made_for_this_contract_works_and_its_version_and_schema_are_stamped(site, load):
    code = (
        "    transqueue_api = '1.0'\n"
        + GREET
        + """
    from marshmallow import Schema, fields, validate

    class Sized(Schema):
        size = fields.Integer(validate=validate.Range(LOWEST))

    @handler("sized", schema=Sized)
    def sized(transaction, context): pass
"""
    )
    site.install("p", code.replace("LOWEST", "1"), version="2.3")
    site.install("q", code.replace("LOWEST", "2").replace('"greet"', '"g2"').replace('"sized"', '"s2"'))
    site.install("r", code.replace("LOWEST", "1").replace('"greet"', '"g3"').replace('"sized"', '"s3"'))
    types = load({name: PluginConfig() for name in "pqr"}).types()
    assert (types["greet"].version, types["greet"].fingerprint) == ("2.3", "")
    marks = [types[type].fingerprint for type in ("sized", "s2", "s3")]
    assert len(marks[0]) == 8
    assert marks[0] == marks[2] != marks[1]


def test_what_a_plugin_uses_of_the_contract_that_will_go_is_told(site, load, heard, monkeypatch):
    page = types.ModuleType("page")
    going = DeprecationWarning("role will go with version 2.0: use process")

    @hookspecs.hookspec(warn_on_impl_args={"role": going})
    def transqueue_startup(role, config):
        """A hook whose argument will go."""

    page.__dict__.update(vars(hookspecs) | {"transqueue_startup": transqueue_startup})
    monkeypatch.setattr("transqueue.plugins.hooks.new_hooks", lambda: new_hooks(page))
    site.install("old", "from transqueue import hookimpl\n@hookimpl\ndef transqueue_startup(role): pass")
    site.install("new", "from transqueue import hookimpl\n@hookimpl\ndef transqueue_startup(config): pass")
    table = load({"old": PluginConfig(), "new": PluginConfig()})
    assert [(state(table, name).state, len(state(table, name).warnings)) for name in ("old", "new")] == [
        ("ok", 1),
        ("ok", 0),
    ]
    assert "role will go with version 2.0" in state(table, "old").warnings[0]
    assert [(one.name, one.facts["plugin"]) for one in heard] == [("plugin.deprecated", "old")]


# Secrets, and a plugin's settings for people

SECRET = """
    from marshmallow import Schema, ValidationError, fields
    from transqueue import handler, hookimpl

    def strict(value):
        raise ValidationError(f"bad key {value}")

    class Gateway(Schema):
        url = fields.URL(load_default="https://pay.example", metadata={"description": "Where it is."})
        token = fields.String(required=True, load_only=True)

    class Config(Schema):
        key = fields.String(load_default="", load_only=True VALIDATE)
        gateway = fields.Nested(Gateway)
        retries = fields.Integer(load_default=3, strict=True)

    @hookimpl
    def transqueue_config_schema():
        return Config

    @handler("pay", max_attempts=3)
    def pay(transaction, context): pass

    @hookimpl
    def transqueue_startup(role, config):
        raise OSError(f"401 for {config['gateway']['token']}")
"""
SETTINGS = """
    plugins:
      p:
        config:
          key: hunter22
          gateway: {token: s3cret-token}
        handlers:
          pay: {max_attempts: 5}
"""


def test_every_setting_of_a_plugin_is_described_and_secrets_are_masked(site, tmp_path):
    site.install("p", SECRET.replace("VALIDATE", ""), version="1.2")
    found = described("p", written(tmp_path, SETTINGS))
    assert (found.name, found.version, found.enabled, found.types, found.broken) == ("p", "1.2", True, ["pay"], "")
    rows = {one.path: (one.value, one.source, one.default, one.secret, one.help) for one in found.settings}
    assert rows["config.key"] == ("***", "config.yaml:5:12", "", True, "")
    assert rows["config.gateway.url"] == (
        "https://pay.example",
        "default",
        "https://pay.example",
        False,
        "Where it is.",
    )
    assert rows["config.gateway.token"] == ("***", "config.yaml:6:24", None, True, "")
    assert rows["config.retries"] == (3, "default", 3, False, "")
    assert rows["handlers.pay.max_attempts"][:2] == (5, "config.yaml:8:27")
    assert rows["handlers.pay.timeout_seconds"][:2] == (60.0, "the plugin")
    assert "hunter22" not in repr(found)
    assert "s3cret-token" not in repr(found)


def test_a_plugin_with_a_wrong_section_is_described_all_the_same(site, tmp_path):
    site.install("p", SECRET.replace("VALIDATE", ""))
    found = described("p", written(tmp_path, "plugins: {p: {config: {retries: many}}}"))
    assert "config.retries: Not a valid integer" in found.broken
    assert [one.value for one in found.settings if one.path == "config.retries"] == ["many"]
    assert not described("p", Config()).enabled


def test_a_secret_is_masked_in_whatever_is_told_of_its_plugin(site, load, heard, tmp_path):
    site.install("p", SECRET.replace("VALIDATE", ", validate=strict"))
    table = load(written(tmp_path, SETTINGS).plugins)
    assert "bad key ***" in state(table, "p").reason
    site.install("q", SECRET.replace("VALIDATE", "").replace('"pay"', '"q"'))
    table = load({"q": PluginConfig(config={"gateway": {"token": "s3cret-token"}})})
    table.startup("worker")
    assert state(table, "q").reason == "OSError: 401 for ***"
    assert "hunter22" not in repr(heard)
    assert "s3cret" not in repr([one.facts for one in heard])


def test_an_unknown_option_deep_in_a_section_is_told_with_its_place_and_the_nearest_name(site, tmp_path):
    site.install("p", SECRET.replace("VALIDATE", ""))
    config = written(tmp_path, "plugins:\n  p:\n    config:\n      gateway: {tokn: x, token: y}\n")
    problems = [str(problem) for problem in judge_plugins(config)]
    assert problems == ["4:23: plugins.p.config.gateway.tokn: unknown option; did you mean 'token'?"]


# Left out for once


def test_what_is_routed_to_a_plugin_that_is_left_out_waits_and_goes_to_nobody_else(site, load):
    site.install("a", GREET)
    site.install("b", GREET)
    config = Config(plugins={"a": PluginConfig(), "b": PluginConfig()}, routes={"greet": "b"})
    table = load_plugins(config.without(["b"]), events=Events())
    assert state(table, "b").state == "disabled"
    assert table.resolve("greet") is None
    assert "left out" in table.parked("greet")


def test_a_plugin_whose_handler_cannot_be_made_in_a_process_is_broken_there_and_its_other_types_go_on(site, load):
    site.install("p", GREET + "    @handler('other')\n    def other(transaction, context): pass")
    table = load(ALL)
    table.fail("p", "greet", "KeyError at package.py:7")
    broken = state(table, "p")
    assert (broken.state, broken.phase, broken.types) == ("broken", "handlers", ["greet", "other"])
    assert broken.reason == "'greet': KeyError at package.py:7"
    assert table.resolve("other").plugin == "p"
