"""What a plugin provides: every hook, typed, on one page.

A plugin is an installed distribution with an entry point in the group `transqueue.plugins`; the entry point names a
module. Each function of that module marked `@hookimpl` and named like one below is called at the time told there. All
hooks are optional: a module with `@handler` marks needs none. Hooks are called one plugin at a time, so an exception in
one is that plugin's problem alone. `config` is always the plugin's own section of `config.yaml`, checked and with its
defaults filled in; a hook may leave out arguments that it does not need. An argument with a default value is never
passed (pluggy's rule). A marked function whose name or arguments are not below makes the plugin broken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import click
import pluggy
from marshmallow import Schema

PROJECT = "transqueue"
GROUP = "transqueue.plugins"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

Role = Literal["api", "worker"]


@hookspec
def transqueue_config_schema() -> type[Schema] | Schema:  # type: ignore[empty-body]
    """The Marshmallow schema of the plugin's `config:` section.

    Called in every process that loads the plugin, before any other hook. Without it the section must be empty. An
    exception makes the plugin broken.

    Example:
        class Config(Schema):
            greeting = fields.String(load_default="Hello")

        @hookimpl
        def transqueue_config_schema():
            return Config
    """


@hookspec
def transqueue_handlers(config: Mapping[str, Any]) -> Iterable[Any]:  # type: ignore[empty-body]
    """The plugin's handlers: objects marked with `@handler`, or `Handler` values.

    Called in the API and in every worker, once, after the configuration passed; it must do no input or output. A module
    that does not implement it provides the `@handler`-marked objects that its own package defines; one that does
    returns all of them itself, and a marked one left out makes the plugin broken, as an exception does. What depends on
    the configuration is therefore not marked, but returned as a `Handler`.

    Example:
        @hookimpl
        def transqueue_handlers(config):
            return [deposit] + ([Handler(type="refund", target=refund)] if config["refunds"] else [])
    """


@hookspec
def transqueue_startup(role: Role, config: Mapping[str, Any]) -> None:
    """A process that uses the plugin has started: open what it needs.

    Called once per process, after it was spawned, with the process's role. An exception makes the plugin broken in this
    process, so its types park there.

    Example:
        @hookimpl
        def transqueue_startup(role, config):
            if role == "worker":
                connect(config["gateway"])
    """


@hookspec
def transqueue_shutdown(role: Role, config: Mapping[str, Any]) -> None:
    """The process is ending in good order: close what `transqueue_startup` opened.

    Called once, when the last attempt has ended. A killed process never calls it. An exception is logged.

    Example:
        @hookimpl
        def transqueue_shutdown(role, config):
            disconnect()
    """


@hookspec
def transqueue_cli(config: Mapping[str, Any]) -> click.Group:  # type: ignore[empty-body]
    """A click group of the plugin's own commands, mounted as `transqueue <plugin>`.

    Called only when that command is asked for, with only this plugin loaded. Inside a command, `click.pass_obj` gives
    the `PluginCommand`: its `database` is PyMongo's database and its `fail(message)` ends with exit code 1.

    Example:
        @hookimpl
        def transqueue_cli(config):
            @click.group()
            def ledger():
                \"\"\"Look after the ledger.\"\"\"
            return ledger
    """
