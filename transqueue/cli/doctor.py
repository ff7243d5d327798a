"""`doctor`: this machine, this configuration, this database, each as ok, warning or wrong, with the cure.

Whatever is wrong is a finding: the command itself never fails.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Collection, Iterator, Sequence

import click

from ..config import Config
from ..errors import ConfigInvalid, PluginBroken, TransQueueError
from ..plugins import PluginState
from ..plugins.health import examined
from ..plugins.probe import Probe, look_apart
from .deployment import check_deployment
from .finding import Finding, Verdict, ok, warning, wrong
from .machine import check_machine, check_python
from .screen import plain
from .setup import NO, Setup

HEALTH_HOOK = "transqueue_health_checks"
COLOURS = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.WRONG: "red"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_obj
def doctor(setup: Setup, *, as_json: bool) -> None:
    """Look for what is wrong with this machine, this configuration and this database, and say the cure."""
    findings: list[Finding] = []
    for finding in _checks(setup):
        findings.append(finding)
        if not as_json:
            _print(finding)
    well = all(finding.verdict is not Verdict.WRONG for finding in findings)
    if as_json:
        click.echo(json.dumps({"well": well, "findings": [dataclasses.asdict(finding) for finding in findings]}))
    sys.exit(0 if well else NO)


def _checks(setup: Setup) -> Iterator[Finding]:
    yield check_python()
    try:
        config = setup.config
    except ConfigInvalid as error:
        for problem in error.problems:
            yield wrong(
                "config", f"{setup.path}:{problem}", "Correct this line; `transqueue check` tells if it is well."
            )
        yield warning("the rest", "not looked at: it depends on config.yaml", "Correct config.yaml first.")
        return
    yield ok("config", f"{setup.path} is valid")
    with Probe(config) as probe:  # it looks while the machine is looked at
        yield from check_machine(config)
        try:
            states = probe.states()
        except TransQueueError as error:
            yield wrong("plugins", str(error), "Until then nothing starts.")
            states = None
    yield from [] if states is None else check_plugins(config, states)
    yield from [] if states is None else check_health(probe.config, states)
    yield from check_deployment(setup, None if states is None else _types(states))


def check_plugins(config: Config, states: Sequence[PluginState]) -> Iterator[Finding]:
    """Each enabled plugin works, and one of them processes the default type."""
    for state in states:
        if state.state == "ok":
            yield ok(f"plugin {state.name}", f"{state.distribution} {state.version}: {', '.join(state.types)}")
        elif state.state != "disabled":
            yield wrong(f"plugin {state.name}", f"{state.state}: {state.phase}: {state.reason}", f"{state.cure}.")
    well = all(state.state in ("ok", "disabled") for state in states)
    if well and config.default_type not in _types(states):
        cure = "Enable a plugin that processes it, or name another default_type in config.yaml."
        yield wrong("default_type", f"no enabled plugin processes {config.default_type!r}, the default type", cure)


def check_health(config: Config, states: Sequence[PluginState]) -> Iterator[Finding]:
    """What the plugins themselves want looked at, each plugin in a process that it may end."""
    for state in states:
        if state.state != "ok" or HEALTH_HOOK not in state.hooks:
            continue
        try:
            for one in look_apart(state.name, examined, state.name, config):
                name = f"{state.name}: {one.check}"
                yield wrong(name, one.trouble, one.cure) if one.trouble else ok(name, "well")
        except PluginBroken as error:
            yield wrong(f"{state.name}: health", f"{error.phase}: {error.reason}", f"{error.cure}.")


def _types(states: Sequence[PluginState]) -> Collection[str]:
    return {type for state in states if state.state == "ok" for type in state.types}


def _print(finding: Finding) -> None:
    verdict = click.style(f"{finding.verdict:<8}", fg=COLOURS[finding.verdict])
    click.echo(f"{verdict} {finding.check:<14} {_indented(finding.message)}")
    if finding.cure:
        click.echo(f"{'':<23} {_indented(finding.cure)}")


def _indented(text: str) -> str:
    return plain(text).replace("\n", f"\n{'':<24}")
