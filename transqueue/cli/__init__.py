"""The commands. Each lives in a file of its own and is imported when it is asked for.

`--config FILE` may stand anywhere on the line. Exit codes: 0 well; 1 the answer is no; 2 wrong usage or invalid
configuration; 3 could not ask.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module

import click

from .. import __version__
from .setup import Setup, explained

WITHOUT = "TRANSQUEUE_WITHOUT"  # names of plugins to leave out, separated by commas

COMMANDS = {
    "api": "serve",
    "audit": "audit",
    "bench": "bench",
    "cancel": "change",
    "check": "check",
    "doctor": "doctor",
    "explain": "operate",
    "init": "check",
    "keys": "keys",
    "ls": "records",
    "pause": "operate",
    "plugins": "plugins",
    "reload": "operate",
    "resume": "operate",
    "retry": "change",
    "show": "records",
    "stats": "records",
    "submit": "submit",
    "top": "top",
    "up": "up",
    "work": "serve",
}


class Commands(click.Group):
    """The built-in commands, and one group per enabled plugin that has commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS:
            command: click.Command = getattr(import_module(f"{__name__}.{COMMANDS[cmd_name]}"), cmd_name)
            return command
        if cmd_name.startswith("-"):
            return None
        from_plugin = import_module(f"{__name__}.plugin_commands").group
        found: click.Command | None = from_plugin(ctx.ensure_object(Setup), cmd_name)
        return found


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="transqueue")
def root() -> None:
    """Transactions over HTTP, kept in MongoDB, processed by plugins, their effects exactly once.

    Every command takes --config FILE (else TRANSQUEUE_CONFIG, else ./config.yaml), and --without PLUGIN to leave a
    plugin out for once (else TRANSQUEUE_WITHOUT, names with commas between).
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command line and exit with its code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    with explained():
        line = take_common(given)
        without = [*os.environ.get(WITHOUT, "").split(","), *line.without]
        root.main(line.rest, prog_name="transqueue", obj=Setup(line.config_file, [name for name in without if name]))


@dataclass(frozen=True, slots=True)
class Line:
    """A command line, and what every command takes apart from it."""

    rest: list[str]
    config_file: str | None
    without: list[str]


def take_common(arguments: Sequence[str]) -> Line:
    """Take `--config FILE` and each `--without PLUGIN` out of a command line, wherever they stand before a `--`."""
    found: dict[str, list[str]] = {"--config": [], "--without": []}
    rest: list[str] = []
    waiting = iter(arguments)
    for argument in waiting:
        name, equals, value = argument.partition("=")
        if argument == "--":
            rest += [argument, *waiting]
        elif argument in found:
            found[argument].append(_value(argument, next(waiting, None)))
        elif equals and name in found:
            found[name].append(value)
        else:
            rest.append(argument)
    return Line(rest, found["--config"][-1] if found["--config"] else None, found["--without"])


def _value(option: str, value: str | None) -> str:
    if value is None:
        raise click.UsageError(f"{option} needs a {'file' if option == '--config' else 'plugin'}.")
    return value
