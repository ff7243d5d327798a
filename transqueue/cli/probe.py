"""Plugins looked at in a throw-away process, so that no plugin's code runs in a process that must not die.

A plugin that hangs, exits or crashes its interpreter ends only this process; what it started there is ended too.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection as Link
from types import TracebackType
from typing import Any, Self, TypeVar

from ..config import Config, Unusable
from ..errors import PluginBroken, TransQueueError
from ..events import Events
from ..lifeline import die_with_parent
from ..offspring import become_founder, end_offspring
from ..plugins import PluginState, load_one, load_plugins, transaction_module
from ..plugins.enabled import enabled
from ..plugins.isolation import limit_seconds, unsurvived
from ..signals import interrupts_held

Found = TypeVar("Found")

_spawn = multiprocessing.get_context("spawn")


class Probe:
    """Looks at the enabled plugins while the caller does something else. Use it in a `with`.

    Attributes:
        config: the configuration to go on with: plugins that the looking process did not survive are unusable in it.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self._limit = limit_seconds()
        self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def states(self) -> Sequence[PluginState]:
        """The state of each plugin; one that hangs, or ends the process that loads it, is broken.

        Raises:
            TransQueueError: the configuration refuses the start (two claims of one type, say).
        """
        while True:
            try:
                return self._look()
            except _Stuck as stuck:
                self._end()
                unusable = {**self.config.unusable, stuck.plugin: Unusable("import", stuck.reason)}
                self.config = replace(self.config, unusable=unusable)
                self._start()

    def _start(self) -> None:
        self._link, theirs = _spawn.Pipe(duplex=False)
        self._process = _spawn.Process(target=_look, args=(self.config, theirs, os.getpid()), name="probe")
        with interrupts_held():
            self._process.start()
        theirs.close()

    def _look(self) -> Sequence[PluginState]:
        name = ""
        while isinstance(told := self._told(name), str):
            name = told
        self._end()
        if isinstance(told, BaseException):
            raise told
        states: Sequence[PluginState] = told
        return states

    def _told(self, name: str) -> Any:
        """What comes next: the plugin that is being loaded now, or at last all states, or why there are none."""
        if not self._link.poll(self._limit):
            raise _stuck(name, f"loading it takes longer than {self._limit:g} s")
        try:
            return self._link.recv()
        except EOFError:
            self._process.join(self._limit)
            raise _stuck(name, f"loading it ends the process that does so (exit code {self._end()})") from None

    def _end(self) -> int | None:
        self._process.kill()
        self._process.join()
        self._link.close()
        end_offspring(int(self._process.pid or 0))
        return self._process.exitcode


class _Stuck(Exception):
    """The process that looks did not survive this plugin."""

    def __init__(self, plugin: str, reason: str) -> None:
        self.plugin, self.reason = plugin, reason
        super().__init__(reason)


def _stuck(plugin: str, reason: str) -> Exception:
    return _Stuck(plugin, reason) if plugin else TransQueueError(f"the plugins could not be looked at: {reason}")


def _look(config: Config, link: Link, parent: int) -> None:
    die_with_parent(parent)
    become_founder()
    try:
        for name in enabled(config):
            link.send(name)
            if name != transaction_module.NAME and name not in config.unusable:  # the module is loaded below, last
                with suppress(PluginBroken):
                    load_one(name, config)
        link.send(list(load_plugins(config, events=Events()).states()))
    except TransQueueError as error:
        link.send(error)


def look_apart(plugin: str, look: Callable[..., Found], *arguments: Any) -> Found:
    """What `look(*arguments)` returns or raises in a throw-away process, where it may import one plugin.

    Raises:
        PluginBroken: that process hung, or did not survive.
    """
    link, theirs = _spawn.Pipe(duplex=False)
    process = _spawn.Process(target=_look_apart, args=(look, arguments, theirs, os.getpid()), name="probe")
    with interrupts_held():
        process.start()
    theirs.close()
    limit = limit_seconds()
    try:
        told = (
            link.recv()
            if link.poll(limit)
            else unsurvived(plugin, "import", f"loading it takes longer than {limit:g} s")
        )
    except EOFError:
        process.join(limit)
        told = unsurvived(plugin, "import", f"loading it ends the process that does so (exit code {process.exitcode})")
    finally:
        process.kill()
        process.join()
        link.close()
        end_offspring(int(process.pid or 0))
    if isinstance(told, BaseException):
        raise told
    found: Found = told
    return found


def _look_apart(look: Callable[..., Any], arguments: tuple[Any, ...], link: Link, parent: int) -> None:
    die_with_parent(parent)
    become_founder()
    try:
        link.send(look(*arguments))
    except TransQueueError as error:
        link.send(error)
