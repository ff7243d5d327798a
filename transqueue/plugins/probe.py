"""Plugins looked at in a throw-away process, so that no plugin's code runs in a process that must not die.

A plugin that hangs, exits or crashes its interpreter ends only that process, and what it starts there ends with it. It
has a command line of its own, unlike those of multiprocessing, so an application can look from wherever it is: its main
module is not run again.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection as Link
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from ..config import Config, Unusable
from ..errors import PluginBroken, TransQueueError
from ..events import Events
from ..process.lifeline import die_with_parent
from ..process.offspring import become_founder, end_offspring
from . import transaction_module
from .enabled import enabled
from .find import installed
from .isolation import limit_seconds, unsurvived
from .load import load_one
from .table import PluginState, load_plugins

Found = TypeVar("Found")

_LOOK = f"from {__name__} import look; look()"


class Probe:
    """Looks at the enabled plugins while the caller does something else. Use it in a `with`.

    Attributes:
        config: the configuration to go on with: plugins that the looking process did not survive are unusable in it.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self._limit = limit_seconds()
        self._apart = _Apart(_look_at_all, config)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._apart.end()

    def states(self) -> Sequence[PluginState]:
        """The state of each plugin; one that hangs, or ends the process that loads it, is broken.

        Raises:
            TransQueueError: the configuration refuses the start (two claims of one type, say).
        """
        while True:
            try:
                return self._look()
            except _Stuck as stuck:
                self._apart.end()
                self.config = self.config.survived({stuck.plugin: Unusable("import", stuck.reason)})
                self._apart = _Apart(_look_at_all, self.config)

    def _look(self) -> Sequence[PluginState]:
        name = ""
        while isinstance(told := self._told(name), str):
            name = told
        self._apart.end()
        if isinstance(told, BaseException):
            raise told
        states: Sequence[PluginState] = told
        return states

    def _told(self, name: str) -> Any:
        """What comes next: the plugin that is being loaded now, or at last all states, or why there are none."""
        try:
            return self._apart.told(self._limit)
        except _Ended as ended:
            if not name:
                raise TransQueueError(f"the plugins could not be looked at: {ended}") from None
            raise _Stuck(name, str(ended)) from None


def survived(config: Config) -> Config:
    """The configuration without the plugins that a process does not survive, for one that is to import the others.

    What this process has imported already it has survived, so it is not looked at.

    Raises:
        TransQueueError: as `Probe.states`.
    """
    available = installed()
    modules = {name: available[name].module for name in enabled(config) if name in available}
    if config.transaction_module:
        modules[transaction_module.NAME] = config.transaction_module
    if all(module in sys.modules for module in modules.values()):
        return config
    with Probe(config) as probe:
        probe.states()
    return probe.config


def look_apart(plugin: str, look: Callable[..., Found], *arguments: Any) -> Found:
    """What `look(*arguments)` returns or raises in a throw-away process, where it may import one plugin.

    Raises:
        PluginBroken: that process hung, or did not survive.
    """
    apart = _Apart(_look_at_one, look, arguments)
    try:
        told = apart.told(limit_seconds())
    except _Ended as ended:
        raise unsurvived(plugin, "import", str(ended)) from None
    finally:
        apart.end()
    if isinstance(told, BaseException):
        raise told
    found: Found = told
    return found


class _Stuck(Exception):
    """The process that looks did not survive this plugin."""

    def __init__(self, plugin: str, reason: str) -> None:
        self.plugin, self.reason = plugin, reason
        super().__init__(reason)


class _Ended(Exception):
    """The process says nothing in time, or no more."""


class _Apart:
    """A process that runs a function with a link to this one, and dies with this one. No Ctrl-C reaches it."""

    def __init__(self, run: Callable[..., None], *arguments: Any) -> None:
        self._link, theirs = Pipe()
        path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", "-c", _LOOK, str(theirs.fileno()), str(os.getpid())],
            env={**os.environ, "PYTHONPATH": path},
            pass_fds=[theirs.fileno()],
            process_group=0,
        )
        theirs.close()
        with suppress(OSError):  # it died at once: `told` says so
            self._link.send((run, arguments))

    def told(self, limit: float) -> Any:
        """The next thing that it says.

        Raises:
            _Ended: it hangs, or is gone.
        """
        if not self._link.poll(limit):
            raise _Ended(f"loading it takes longer than {limit:g} s")
        try:
            return self._link.recv()
        except (EOFError, OSError):
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(limit)
            raise _Ended(f"loading it ends the process that does so (exit code {self.end()})") from None

    def end(self) -> int:
        """End it, if it lives, and what it left behind; its exit code."""
        self._process.kill()
        code = self._process.wait()
        self._link.close()
        end_offspring(self._process.pid)
        return code


def look() -> None:
    """The throw-away process: run what the other end of the link asks for."""
    descriptor, parent = map(int, sys.argv[1:])
    die_with_parent(parent)
    become_founder()
    link = Link(descriptor)
    run, arguments = link.recv()
    try:
        run(link, *arguments)
    except TransQueueError as error:
        link.send(error)


def _look_at_all(link: Link, config: Config) -> None:
    for name in enabled(config):
        link.send(name)
        if name != transaction_module.NAME and name not in config.unusable:  # the module is loaded below, last
            with suppress(PluginBroken):
                load_one(name, config)
    link.send(list(load_plugins(config, events=Events()).states()))


def _look_at_one(link: Link, look: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    link.send(look(*arguments))
