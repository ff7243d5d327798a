"""The commands. Each lives in a file of its own and is imported when it is asked for.

`--config FILE` may stand anywhere on the line. Exit codes: 0 well; 1 the answer is no; 2 wrong usage or invalid
configuration; 3 could not ask.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

import click

from .. import __version__
from .setup import Setup, explained

COMMANDS = {
    "api": "serve",
    "check": "check",
    "doctor": "doctor",
    "init": "check",
    "keys": "keys",
    "ls": "records",
    "plugins": "plugins",
    "show": "records",
    "stats": "records",
    "submit": "submit",
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

    Every command takes --config FILE (else TRANSQUEUE_CONFIG, else ./config.yaml).
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command line and exit with its code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    with explained():
        config_file, rest = take_config(given)
        root.main(rest, prog_name="transqueue", obj=Setup(config_file))


def take_config(arguments: Sequence[str]) -> tuple[str | None, list[str]]:
    """Take `--config FILE` out of a command line, wherever it stands before a `--`."""
    file: str | None = None
    rest: list[str] = []
    waiting = iter(arguments)
    for argument in waiting:
        if argument == "--":
            return file, [*rest, argument, *waiting]
        if argument == "--config":
            file = next(waiting, None)
            if file is None:
                raise click.UsageError("--config needs a file.")
        elif argument.startswith("--config="):
            file = argument.partition("=")[2]
        else:
            rest.append(argument)
    return file, rest
