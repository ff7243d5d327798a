"""What commands share: the configuration, the database behind it, and how troubles end a command."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from ..config import Config, did_you_mean, find_config, read_config
from ..errors import (
    AddressTaken,
    ClaimConflict,
    ConfigInvalid,
    KeysMissing,
    MongodNotStarted,
    PluginBroken,
    QueueUnavailable,
    TopologyRefused,
    TransQueueError,
)

if TYPE_CHECKING:  # the driver is slow to import, and each command and each process that is spawned comes by here
    from ..mongodb import MongoQueue

NO, WRONG, COULD_NOT_ASK = 1, 2, 3
_CODES: tuple[tuple[type[Exception], int], ...] = (
    (ConfigInvalid, WRONG),
    (ClaimConflict, WRONG),
    (TopologyRefused, WRONG),
    (PluginBroken, WRONG),
    (KeysMissing, WRONG),
    (AddressTaken, COULD_NOT_ASK),
    (MongodNotStarted, COULD_NOT_ASK),
    (QueueUnavailable, COULD_NOT_ASK),
    (TransQueueError, NO),
)


def api_url(config: Config) -> str:
    """Where the configured API is."""
    near = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.api.host, config.api.host)
    host = f"[{near}]" if ":" in near else near
    return f"http://{host}:{config.api.port}"


def by_me() -> str:
    """Who runs this command, for the audit."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):  # an account without a name, as in a container
        return f"cli:{os.getuid()}"


class Setup:
    """One command's configuration and database, read and connected when first asked for."""

    def __init__(self, config_file: str | None, without: Sequence[str] = ()) -> None:
        self.config_file, self.without = config_file, tuple(without)

    @property
    def path(self) -> Path:
        """The configuration file that is meant."""
        return find_config(self.config_file, os.environ, Path.cwd())

    @cached_property
    def config(self) -> Config:
        """The configuration.

        Raises:
            ConfigInvalid: with every mistake.
        """
        config = read_config(self.path, os.environ)
        known = [*config.plugins, *(["transaction_module"] if config.transaction_module else [])]
        unknown = [name for name in self.without if name not in known]
        if unknown:
            hint = did_you_mean(unknown[0], known)
            raise click.UsageError(f"--without {unknown[0]}: {self.path} names no such plugin{hint}")
        return config.without(self.without)

    @cached_property
    def uri(self) -> str:
        """Where the database is: the configured one, or the private one that is running.

        Raises:
            QueueUnavailable: the private one is not running.
        """
        from ..mongodb.embedded import attach  # noqa: PLC0415

        uri = self.config.mongodb.uri or attach(self.config.data_dir)
        if not uri:
            raise QueueUnavailable(
                f"the private MongoDB of {self.config.data_dir} is not running. "
                "Start it with `transqueue up`, or set mongodb.uri in config.yaml"
            )
        return uri

    @cached_property
    def queue(self) -> MongoQueue:
        """The queue, connected."""
        from ..mongodb import connect  # noqa: PLC0415

        return connect(self.uri, self.config.mongodb.database)


def log_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--log-format` and `--log-level`, which go before config.yaml's `logs:`."""

    @click.option("--log-format", type=click.Choice(["auto", "json", "console"]), help="Else logs.format.")
    @click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="Else logs.level.")
    @click.pass_obj
    @wraps(command)
    def logging(setup: Setup, /, *given: Any, log_format: str | None, log_level: str | None, **options: Any) -> Any:
        said = {name: value for name, value in (("format", log_format), ("level", log_level)) if value}
        setup.config = replace(setup.config, logs=replace(setup.config.logs, **said))
        return command(*given, **options)

    return logging


@contextmanager
def explained() -> Generator[None]:
    """End with a sentence and an exit code instead of a traceback, for troubles that have a name."""
    try:
        yield
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except TransQueueError as error:
        _end(error)
    except Exception as error:  # a plugin's command speaks PyMongo itself
        _end(_of_database(error))


def _of_database(error: Exception) -> TransQueueError:
    """The trouble with the database that it is; what is none is raised again."""
    from ..mongodb.connection import answering  # noqa: PLC0415

    try:
        with answering("ask the database"):
            raise error
    except TransQueueError as named:
        return named


def _end(error: TransQueueError) -> NoReturn:
    click.echo(f"{error}", err=True)
    sys.exit(next(code for kind, code in _CODES if isinstance(error, kind)))


def fail(message: str, code: int = NO) -> NoReturn:
    """End the command with a message on stderr."""
    click.echo(message, err=True)
    sys.exit(code)
