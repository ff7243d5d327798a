"""`plugins enable` and `disable`: edit config.yaml, keep its comments, and write only what passes."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from ..config import Config, did_you_mean, read_config
from ..errors import PluginBroken, Problem
from ..plugins import installed
from ..plugins.probe import Probe
from .setup import WRONG, Setup, fail

NEXT = "What runs goes by it after `transqueue reload`, or at the next start."


@click.command()
@click.argument("name")
@click.pass_obj
def enable(setup: Setup, *, name: str) -> None:
    """Put a plugin to use: it is switched on in config.yaml, once it has been seen to load."""
    if name in setup.config.plugins and setup.config.plugins[name].enabled:
        click.echo(f"{name} is enabled already in {setup.path}.")
        return
    available = installed()
    if name not in available:
        fail(
            f"no plugin {name!r} is installed{did_you_mean(name, available)}. "
            f"Install the distribution that provides it, into the environment of this command.",
            WRONG,
        )
    types = _edit(setup, name, lambda plugins: _switch(plugins, name, on=True))
    click.echo(f"{name} is enabled in {setup.path}: {', '.join(types) or 'no types'}. {NEXT}")


@click.command()
@click.argument("name")
@click.pass_obj
def disable(setup: Setup, *, name: str) -> None:
    """Take a plugin out of use: it is switched off in config.yaml, and its section stays."""
    if name not in setup.config.plugins:
        fail(f"{setup.path} has no plugin {name!r}{did_you_mean(name, setup.config.plugins)}.", WRONG)
    if not setup.config.plugins[name].enabled:
        click.echo(f"{name} is disabled already in {setup.path}.")
        return
    _edit(setup, name, lambda plugins: _switch(plugins, name, on=False))
    click.echo(f"{name} is disabled in {setup.path}. Transactions of its types wait, and new ones are refused. {NEXT}")


def _switch(plugins: CommentedMap, name: str, *, on: bool) -> None:
    section = plugins.get(name)
    if isinstance(section, dict):
        section["enabled"] = on
    else:
        plugins[name] = CommentedMap(enabled=on)


def _edit(setup: Setup, name: str, change: Callable[[CommentedMap], None]) -> list[str]:
    """Change the section `plugins` of the file, unless the result would not do; the types of the plugin then.

    The new text is judged where the old one lies, and then takes its place in one step.
    """
    old = setup.path.read_text(encoding="utf-8")
    handle, beside = tempfile.mkstemp(prefix=".config-", suffix=".yaml", dir=setup.path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(_changed(old, change))
        Path(beside).chmod(setup.path.stat().st_mode & 0o777)
        config = read_config(Path(beside), os.environ)
        types = _judged(config, name)
        Path(beside).replace(setup.path.resolve())
    except OSError as error:
        fail(f"{setup.path} cannot be written: {error.strerror}", WRONG)
    finally:
        with suppress(FileNotFoundError):
            Path(beside).unlink()
    return types


def _changed(text: str, change: Callable[[CommentedMap], None]) -> str:
    yaml = YAML(typ="rt")
    yaml.preserve_quotes, yaml.width = True, 1 << 16
    document: Any = yaml.load(text)
    if not isinstance(document.get("plugins"), dict):
        document["plugins"] = CommentedMap()
    change(document["plugins"])
    changed = io.StringIO()
    yaml.dump(document, changed)
    return changed.getvalue()


def _judged(config: Config, name: str) -> list[str]:
    """Load everything in a process of its own. What was broken before may stay so; `name` must load, if it is on.

    Raises:
        TransQueueError: two plugins claim one type, say; nothing is written.
        PluginBroken: the plugin does not load.
    """
    with Probe(config) as probe:
        states = {state.name: state for state in probe.states()}
    state = states.get(name)
    if state is not None and state.state in ("broken", "missing"):
        raise PluginBroken(name, state.phase, state.reason, state.cure, problems=list[Problem]())
    return list(state.types) if state else []
