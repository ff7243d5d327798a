"""The page of hooks: each says when it is called and what goes wrong, shows an example, and does as it says."""

from __future__ import annotations

import inspect
import sys
import textwrap
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from transqueue import Event, hookspecs
from transqueue.clock import HostClock
from transqueue.config import Config, PluginConfig
from transqueue.errors import SubmissionRefused
from transqueue.events import Events
from transqueue.executor import Bound, Executor
from transqueue.outcome import Verb
from transqueue.plugins import load_plugins
from transqueue.plugins.commands import plugin_cli
from transqueue.plugins.health import Health, examined
from transqueue.plugins.hooks import new_hooks
from transqueue.submission import Admission, read_envelope
from transqueue.transaction import Transaction, TransactionIds

HOOKS = sorted(name for name in vars(hookspecs) if name.startswith("transqueue_"))
SECTIONS = ("Roles:", "Order:", "An exception:", "Example:")
CLAIMS = """
    from transqueue import handler

    @handler("deposit")
    def deposit(transaction, context):
        return {"had": transaction.data}

    @handler("many", batch=True)
    def many(transactions, context):
        return [one.data["n"] for one in transactions]
"""


def example(hook):
    """The example of a hook's docstring, as a module."""
    words = inspect.getdoc(getattr(hookspecs, hook))
    return textwrap.dedent(words.partition("Example:\n")[2])


@pytest.fixture
def loaded(site, load):
    """`loaded(hook)`: the table with the plugin that a hook's example makes, one that claims types, and the module."""

    def loaded(hook, code="", config=None, **more):
        package = site.install("shown", textwrap.dedent(code) or example(hook))
        site.install("claims", CLAIMS)
        table = load({"claims": PluginConfig(), "shown": PluginConfig(config=config or {})}, **more)
        assert [(one.name, one.state, one.reason) for one in table.states()[:2]] == [
            ("claims", "ok", ""),
            ("shown", "ok", ""),
        ]
        return table, sys.modules[package]

    return loaded


@pytest.fixture
def admit(heard):
    def admit(table, data, type="deposit", **options):
        admission = Admission(table=table, default_type="deposit", clock=HostClock(), events=Events(heard.append))
        return admission.admit(read_envelope({"type": type, "data": data} | ({"options": options} if options else {})))

    return admit


def calling(table, type, data=None):
    """What the executor makes of one attempt, or of a group."""
    handler = table.types()[type]
    bound = Bound(handler, table.wrapped(handler, handler.callable({})), {})
    marker = SimpleNamespace(running=lambda *_, **__: None, group=lambda **_: None, idle=lambda: None)
    executor = Executor(clock=HostClock(), marker=marker, new_transaction=lambda *_: None, random=lambda: 0.5)
    new = [transaction(one, type) for one in (data if isinstance(data, list) else [data])]
    if handler.batch:
        return [one.outcome for one in executor.attempt_group(bound, new)]
    return executor.attempt(bound, new[0]).outcome


def transaction(data, type):
    now = HostClock().now()
    return Transaction(id=TransactionIds().next(now), type=type, data=data, created_at=now, due_at=now, max_attempts=8)


@pytest.mark.parametrize("hook", HOOKS)
def test_each_hook_has_its_words_an_example_that_runs_and_a_test(hook, loaded):
    words = inspect.getdoc(getattr(hookspecs, hook))
    places = [words.find(f"\n{section}") for section in SECTIONS]
    assert -1 not in places, f"{hook} must say: {SECTIONS}"
    assert places == sorted(places)
    _, module = loaded(hook)
    implemented = [name for name in dir(module) if new_hooks().parse_hookimpl_opts(module, name) is not None]
    assert implemented == [hook]
    tests = [name for name in globals() if name.startswith(f"test_{hook.removeprefix('transqueue_')}_")]
    assert tests, f"{hook} has no test here"


def test_the_hooks_are_those_of_the_contract():
    assert [name.removeprefix("transqueue_") for name in HOOKS] == [
        "before_enqueue",
        "cli",
        "config_schema",
        "event",
        "handlers",
        "health_checks",
        "options_schema",
        "run",
        "shutdown",
        "startup",
    ]


def test_config_schema_checks_the_plugins_own_section_and_fills_it_in(loaded):
    table, _ = loaded("transqueue_config_schema", config={"api_key": "k"})
    assert dict(table.config_of("shown")) == {"greeting": "Hello", "api_key": "k"}


def test_handlers_are_what_the_hook_returns(loaded):
    table, module = loaded("transqueue_handlers")
    assert [type for type, one in table.types().items() if one.plugin == "shown"] == ["credit", "refund"]
    assert table.resolve("refund").target is module.refund


# options_schema


def test_options_schema_is_that_of_the_options_under_the_plugins_name(loaded, admit):
    table, _ = loaded("transqueue_options_schema")
    assert admit(table, {}, shown={"url": "https://shop.example/"}).on_end == ()
    for wrong, path in (({"url": 5}, "options.shown.url"), ({}, "options.shown.url"), (7, "options.shown")):
        with pytest.raises(SubmissionRefused) as refusal:
            admit(table, {}, shown=wrong)
        assert (refusal.value.status, list(refusal.value.errors)) == (400, [path])


def test_options_schema_unknown_keys_are_refused_with_the_nearest_name(loaded, admit):
    table, _ = loaded("transqueue_options_schema")
    with pytest.raises(SubmissionRefused) as refusal:
        admit(table, {}, shwon={"url": "https://shop.example/"})
    assert refusal.value.errors == {"options.shwon": ["Unknown field; did you mean 'shown'?"]}
    with pytest.raises(SubmissionRefused) as refusal:
        admit(table, {}, shown={"url": "https://shop.example/", "more": 1})
    assert refusal.value.errors == {"options.shown.more": ["Unknown field."]}


def test_options_schema_of_a_broken_plugin_makes_those_wait_who_give_it(site, load, admit):
    site.install("claims", CLAIMS)
    site.install("shown", "1 / 0")
    table = load({"claims": PluginConfig(), "shown": PluginConfig()})
    assert admit(table, {"n": 1}).type == "deposit"
    with pytest.raises(SubmissionRefused) as refusal:
        admit(table, {"n": 1}, shown={})
    assert (refusal.value.status, refusal.value.retry_after_seconds) == (503, 30)
    assert "ZeroDivisionError" in refusal.value.message


@pytest.mark.parametrize("returned", ["dict", "1 / 0"])
def test_options_schema_that_is_none_breaks_the_plugin(site, load, returned):
    site.install("p", f"from transqueue import hookimpl\n@hookimpl\ndef transqueue_options_schema(): return {returned}")
    (found,) = [one for one in load({"p": PluginConfig()}).states() if one.name == "p"]
    assert (found.state, found.phase) == ("broken", "options")


def test_options_schema_under_a_name_of_the_queues_own_breaks_the_plugin(site, load):
    site.install("priority", example("transqueue_options_schema"))
    (found,) = [one for one in load({"priority": PluginConfig()}).states() if one.name == "priority"]
    assert "options.priority is TransQueue's own" in found.reason


# before_enqueue


def test_before_enqueue_may_refuse_and_may_say_what_follows_the_end(loaded, admit):
    table, _ = loaded("transqueue_before_enqueue")
    with pytest.raises(SubmissionRefused) as refusal:
        admit(table, {"value": -1})
    assert (refusal.value.status, refusal.value.code) == (400, "refused")
    assert refusal.value.message == "deposits are positive"
    (one,) = admit(table, {"value": 1, "username": "ann"}).on_end
    assert (one.type, one.data, one.max_attempts) == ("thank", {"to": "ann"}, 20)
    assert (one.plugin.name, one.plugin.version) == ("shown", "1.0")
    assert admit(table, {"to": "ann"}, type="thank").on_end == ()


BEFORE = """
    from transqueue import handler, hookimpl
    from marshmallow import Schema

    SEEN = []

    @handler("own")
    def own(transaction, context): pass

    @hookimpl
    def transqueue_options_schema():
        return Schema.from_dict({{}})

    @hookimpl
    def transqueue_before_enqueue(transaction, options, config):
        SEEN.append((transaction.type, options, transaction.plugin, transaction.data))
        {body}
"""


@pytest.mark.parametrize(
    "body",
    [
        "1 / 0",
        "raise SystemExit",
        "transaction.on_end = 7",
        "transaction.on_end = ['own']",
        "transaction.on_end = [('nobody', {})]",
        "transaction.on_end = [('own', {'n': object()})]",
        "transaction.on_end = [('own', {'n': float('nan')})]",
        "transaction.on_end = [('own', {})] * 9",
        "transaction.type = 'other'",
    ],
)
def test_before_enqueue_that_fails_costs_only_those_who_need_the_plugin(loaded, admit, heard, body):
    table, _ = loaded("", BEFORE.format(body=body))
    assert admit(table, {"n": 1}).on_end == ()
    for need in ({"type": "own"}, {"shown": {}}):
        with pytest.raises(SubmissionRefused) as refusal:
            admit(table, {"n": 1}, **need)
        assert (refusal.value.status, refusal.value.code) == (503, "handler_unavailable")
    assert [(one.name, one.facts["plugin"]) for one in heard] == [("hook.failed", "shown")] * 3


def test_before_enqueue_sees_every_type_and_its_own_options_and_can_change_no_data(loaded, admit):
    body = "transaction.data['n'] = 2; transaction.on_end = [('own', {'n': 1.5}), ('deposit', {})]"
    table, module = loaded("", BEFORE.format(body=body))
    made = admit(table, {"n": 1}, shown={})
    assert made.data == {"n": 1}
    assert [(one.type, one.plugin.name) for one in made.on_end] == [("own", "shown"), ("deposit", "claims")]
    admit(table, {"n": 1}, type="own")
    assert module.SEEN == [("deposit", {}, "claims", {"n": 1}), ("own", None, "shown", {"n": 1})]


# run


def test_run_goes_around_every_attempt_and_gives_what_the_handler_gave(loaded):
    table, _ = loaded("transqueue_run")
    outcome = calling(table, "deposit", {"n": 1})
    assert (outcome.verb, outcome.result) == (Verb.COMPLETE, {"had": {"n": 1}})
    assert [one.result for one in calling(table, "many", [{"n": 1}, {"n": 2}])] == [1, 2]


WRAPPER = """
    from transqueue import Reject, hookimpl

    SEEN = []

    @hookimpl(wrapper=True)
    def transqueue_run(transaction, handler, context):
        {before}
        try:
            result = yield
        except Exception as error:
            SEEN.append(("raised", type(error).__name__))
            raise
        SEEN.append((handler.type, result))
        return {result}
"""


def test_run_may_change_the_result_and_sees_the_whole_group_of_a_batch(loaded):
    table, module = loaded("", WRAPPER.format(before="SEEN.append(transaction)", result="[9 for _ in result]"))
    assert [one.result for one in calling(table, "many", [{"n": 1}, {"n": 2}])] == [9, 9]
    group, told = module.SEEN
    assert [one.data for one in group] == [{"n": 1}, {"n": 2}]
    assert told == ("many", [1, 2])


def test_run_may_refuse_and_what_it_raises_is_the_attempts(loaded):
    table, _ = loaded("", WRAPPER.format(before="raise Reject('closed')", result="result"))
    assert calling(table, "deposit", {}).verb is Verb.REJECT
    assert {one.verb for one in calling(table, "many", [{"n": 1}, {"n": 2}])} == {Verb.REJECT}


def test_run_is_not_called_where_no_plugin_wraps(load, site):
    site.install("claims", CLAIMS)
    table = load({"claims": PluginConfig()})
    handler = table.types()["deposit"]
    assert table.wrapped(handler, handler.target) is handler.target


def test_run_of_a_plugin_that_could_not_start_wraps_nothing(loaded):
    start = "\n    @hookimpl\n    def transqueue_startup(): 1 / 0\n"
    table, _ = loaded("", WRAPPER.format(before="raise Reject('no')", result="result") + start)
    table.startup("worker")
    assert calling(table, "deposit", {}).verb is Verb.COMPLETE


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("@hookimpl\ndef transqueue_run(handler): return 1", "transqueue_run must be a wrapper"),
        ("@hookimpl(wrapper=True)\ndef transqueue_event(event):\n    yield", "transqueue_event cannot be a wrapper"),
    ],
)
def test_run_alone_and_always_is_a_wrapper(site, load, code, said):
    site.install("p", f"from transqueue import hookimpl\n{code}")
    (found,) = [one for one in load({"p": PluginConfig()}).states() if one.name == "p"]
    assert (found.state, found.phase) == ("broken", "hooks")
    assert said in found.reason


# event

LOOKS_ON = """
    import threading
    from transqueue import hookimpl

    SEEN, GO = [], threading.Event()

    @hookimpl
    def transqueue_event(event):
        {body}
        SEEN.append(event)
"""


@pytest.fixture
def looking(site):
    """`looking(body)`: a table whose plugin looks on, the events of its process, and the plugin's module."""
    tables = []

    def looking(code):
        heard: list[Event] = []
        events = Events(heard.append)
        package = site.install("shown", textwrap.dedent(code))
        table = load_plugins(Config(plugins={"shown": PluginConfig()}), events=events)
        table.startup("worker")
        tables.append(table)
        return events, heard, sys.modules[package], table

    yield looking
    for table in tables:
        table.shutdown("worker")


def test_event_tells_what_happens_from_the_startup_to_the_shutdown(looking):
    events, _, module, table = looking(example("transqueue_event"))
    events.emit("transaction.rejected", transaction="1")
    table.shutdown("worker")
    events.emit("transaction.rejected", transaction="2")
    assert module.seen == {"transaction.rejected": 1}


def test_event_facts_cannot_be_changed_for_others(looking):
    events, heard, _, table = looking(LOOKS_ON.format(body="event.facts['type'] = 'x'"))
    events.emit("transaction.rejected", type="deposit")
    table.shutdown("worker")
    assert heard[0].facts == {"type": "deposit"}
    assert [one.facts["reason"][:9] for one in heard if one.name == "observer.failed"] == ["TypeError"]


@pytest.mark.parametrize("body", ["1 / 0", "raise SystemExit"])
def test_event_that_raises_breaks_nothing_and_is_told_once(looking, body):
    events, heard, _, table = looking(LOOKS_ON.format(body=body))
    for number in range(3):
        events.emit("worker.ready", number=number)
    table.shutdown("worker")
    assert [one.name for one in heard] == [*["worker.ready"] * 3, "observer.failed"]
    assert table.resolve("deposit") is None


def test_event_that_hangs_holds_up_nobody_and_what_is_too_much_is_left_out(looking, wait_until):
    events, heard, module, _ = looking(LOOKS_ON.format(body="GO.wait(60)"))
    for number in range(1500):
        events.emit("worker.ready", number=number)
    assert len(heard) == 1500
    module.GO.set()
    wait_until(lambda: any(one.name == "observer.failed" for one in heard))
    assert "events were left out" in heard[-1].facts["reason"]
    wait_until(lambda: len(module.SEEN) >= 1000)
    assert len(module.SEEN) < 1500


# startup, shutdown, health checks, commands


def test_startup_is_told_the_role(loaded):
    table, module = loaded("transqueue_startup")
    table.startup("api")
    assert module.opened == []
    table.startup("worker")
    assert module.opened == ["connection"]


def test_shutdown_comes_once_after_a_startup(loaded):
    table, module = loaded("transqueue_shutdown")
    table.shutdown("worker")
    table.startup("worker")
    table.shutdown("worker")
    table.shutdown("worker")
    assert module.closed == ["worker"]


def test_health_checks_are_run_and_what_is_wrong_is_told_with_the_cure(loaded, site):
    loaded("transqueue_health_checks")
    config = Config(plugins={"shown": PluginConfig()})
    assert examined("shown", config) == [Health("disk")]
    site.install("full", example("transqueue_health_checks").replace("if shutil", "if True or shutil"))
    assert examined("full", Config()) == [Health("disk", "OSError: the disk is full", "Make room.")]


def test_cli_is_a_group_of_commands(loaded):
    loaded("transqueue_cli")
    group = plugin_cli(Config(plugins={"shown": PluginConfig()}), "shown")
    assert CliRunner().invoke(group, ["hours"]).output == "always\n"
