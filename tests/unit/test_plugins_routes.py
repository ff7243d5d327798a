"""Claims settled between plugins; the plugins are values made here, nothing is installed."""

from types import MappingProxyType

import pytest

from transqueue.config import Config, PluginConfig
from transqueue.errors import ClaimConflict, ConfigInvalid, PluginBroken
from transqueue.handlers import Handler
from transqueue.plugins.find import Found
from transqueue.plugins.hooks import new_hooks
from transqueue.plugins.load import Plugin
from transqueue.plugins.routes import Parked, settle


def process(transaction, context):
    return None


def plugin(name, *types, version="1.0"):
    found = Found(name, name, f"transqueue-{name}", version)
    handlers = {type: Handler(type=type, target=process, plugin=name) for type in types}
    return Plugin(found=found, config=MappingProxyType({}), handlers=handlers, parts=(), hooks=new_hooks())


def broken(name):
    return {name: PluginBroken(name, "import", "ImportError: gone", "Reinstall it")}


def config(*names, routes=None, **more):
    return Config(plugins={name: PluginConfig() for name in names}, routes=routes or {}, **more)


def owner(claims, type):
    found = claims.of(type)
    return None if found is None else f"{'parked:' if isinstance(found, Parked) else ''}{found.plugin}"


def test_an_exact_claim_wins_over_families_and_the_longest_family_over_shorter_ones():
    claims = settle(config("a", "b", "c"), [plugin("a", "x.*"), plugin("b", "x.y.*"), plugin("c", "x.y.z")], {}, {})
    assert [owner(claims, type) for type in ("x.y.z", "x.y.q", "x.y.z.q", "x.q")] == ["c", "b", "b", "a"]


@pytest.mark.parametrize("type", ["x", "x.*", "xy.z", "", "x.", "x..y", "x.<b>", "x.y\n", "x." + "y" * 128])
def test_a_family_claims_only_well_formed_types_below_it(type):
    assert settle(config("a"), [plugin("a", "x.*")], {}, {}).of(type) is None


def test_two_claims_of_one_type_are_refused_with_both_distributions_and_the_line_that_settles_it():
    rivals = [plugin("payments", "pay", version="1.4.0"), plugin("acme", "pay", version="0.3.1")]
    with pytest.raises(ClaimConflict) as refusal:
        settle(config("payments", "acme"), rivals, {}, {})
    assert str(refusal.value).splitlines() == [
        "config.yaml: transaction type 'pay' is claimed by 2 plugins:",
        "    payments  transqueue-payments 1.4.0",
        "    acme      transqueue-acme 0.3.1",
        "Choose one, at the top level of the file:",
        "    routes: {pay: payments}",
        "or disable the other:",
        "    plugins: {acme: {enabled: false}}",
    ]


def test_all_conflicts_are_told_together():
    with pytest.raises(ClaimConflict, match=r"(?s)'x'.*'y'"):
        settle(config("a", "b"), [plugin("a", "x", "y"), plugin("b", "x", "y")], {}, {})


@pytest.mark.parametrize("winner", ["a", "b"])
def test_a_route_picks_the_winner(winner):
    claims = settle(config("a", "b", routes={"x": winner}), [plugin("a", "x"), plugin("b", "x", "y")], {}, {})
    assert (owner(claims, "x"), owner(claims, "y")) == (winner, "b")


def test_a_route_takes_one_type_out_of_a_family_for_a_plugin_that_claims_the_family():
    claims = settle(config("a", "b", routes={"x.y": "a"}), [plugin("a", "x.*"), plugin("b", "x.y")], {}, {})
    assert (owner(claims, "x.y"), claims.of("x.y").type) == ("a", "x.y")


@pytest.mark.parametrize(
    ("routes", "message"),
    [
        ({"depsit": "a"}, "routes.depsit: plugin 'a' does not claim 'depsit'; did you mean 'deposit'?"),
        ({"deposit": "ledgr"}, "routes.deposit: plugin 'ledgr' is not enabled; did you mean 'ledger'?"),
    ],
)
def test_a_route_to_a_plugin_that_does_not_claim_the_type_is_a_mistake(routes, message):
    with pytest.raises(ConfigInvalid) as refusal:
        settle(config("a", "ledger", routes=routes), [plugin("a", "deposit"), plugin("ledger", "pay")], {}, {})
    assert [str(problem) for problem in refusal.value.problems] == [message]


@pytest.mark.parametrize(
    ("configured", "known"),
    [
        (config("a", "b"), {"b": ["x"]}),
        (Config(plugins={"a": PluginConfig(), "b": PluginConfig(handlers={"x": {"max_attempts": 2}})}), {}),
        (config("a", "b", routes={"x": "b"}), {}),
    ],
    ids=["known from before", "overridden by the admin", "routed by the admin"],
)
def test_a_type_of_a_broken_plugin_parks_with_its_reason(configured, known):
    claims = settle(configured, [plugin("a", "y")], broken("b"), known)
    assert (owner(claims, "x"), owner(claims, "y")) == ("parked:b", "a")
    assert claims.of("x").reason == "plugin 'b' is broken (import): ImportError: gone. Reinstall it"


def test_a_type_of_a_broken_plugin_never_goes_to_another_plugins_family():
    claims = settle(config("a", "b"), [plugin("a", "x.*")], broken("b"), {"b": ["x.y"]})
    assert (owner(claims, "x.y"), owner(claims, "x.z")) == ("parked:b", "a")


def test_a_type_claimed_by_a_broken_and_a_working_plugin_parks_until_a_route_decides():
    claims = settle(config("a", "b"), [plugin("a", "x")], broken("b"), {"b": ["x"]})
    assert "routes: {x: a}" in claims.of("x").reason
    decided = settle(config("a", "b", routes={"x": "a"}), [plugin("a", "x")], broken("b"), {"b": ["x"]})
    assert owner(decided, "x") == "a"


def test_transaction_module_counts_as_the_route_of_the_default_type_over_any_plugin():
    module = plugin("transaction_module", "deposit")
    configured = config("a", "b", routes={"deposit": "a"}, transaction_module="nightly")
    assert owner(settle(configured, [plugin("a", "deposit"), plugin("b", "deposit"), module], {}, {}), "deposit") == (
        "transaction_module"
    )


def test_the_default_type_of_a_broken_transaction_module_parks_and_goes_to_no_plugin():
    configured = config("a", transaction_module="nightly")
    claims = settle(configured, [plugin("a", "deposit")], broken("transaction_module"), {})
    assert owner(claims, "deposit") == "parked:transaction_module"


def test_a_plugin_that_breaks_later_parks_all_its_claims():
    claims = settle(config("a", "b"), [plugin("a", "x", "x.y"), plugin("b", "x.*")], {}, {})
    without = claims.without(broken("a")["a"])
    assert [owner(without, type) for type in ("x", "x.y", "x.z")] == ["parked:a", "parked:a", "b"]
    assert owner(claims, "x") == "a"
