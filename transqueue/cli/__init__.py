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

COMMANDS = {  # the file of each, and what it does in a line: `--help` imports none of them
    "api": ("serve", "Serve the API of this host, until Ctrl-C."),
    "audit": ("audit", "List what operators did, the latest first."),
    "bench": ("bench", "Measure this installation, and tell what limits it."),
    "cancel": ("change", "Cancel queued or dead transactions."),
    "check": ("check", "Judge config.yaml and the enabled plugins."),
    "doctor": ("doctor", "Look for what is wrong here, and say the cure."),
    "explain": ("operate", "Say why a transaction is not running, and what would help."),
    "init": ("check", "Write a commented config.yaml; never over an existing file."),
    "keys": ("keys", "Make, list and end API keys."),
    "ls": ("records", "List transactions, newest first."),
    "pause": ("operate", "Start no more of TYPE, or of a family, on any host."),
    "plugins": ("plugins", "List the plugins; make, show and switch them."),
    "reload": ("operate", "Put config.yaml to use without a restart."),
    "resume": ("operate", "Let a paused TYPE, or family, go on."),
    "retry": ("change", "Queue dead transactions again."),
    "show": ("records", "Show one transaction whole."),
    "stats": ("records", "Count transactions by type and state."),
    "submit": ("submit", "Submit one transaction, or a file of them, through the API."),
    "top": ("top", "Watch what runs, waits and fails, on every host, until Ctrl-C."),
    "up": ("up", "Run everything on this machine, until Ctrl-C."),
    "work": ("serve", "Run the workers of this host, until Ctrl-C."),
}


class Commands(click.Group):
    """The built-in commands, and one group per enabled plugin that has commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return sorted(COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS:
            command: click.Command = getattr(import_module(f"{__name__}.{COMMANDS[cmd_name][0]}"), cmd_name)
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
