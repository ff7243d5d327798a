"""Plugins looked at in a throw-away process, so that no plugin's code runs in a process that must not die.

A plugin that hangs, exits or crashes its interpreter ends only this process.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from multiprocessing.connection import Connection as Link

from ..config import Config
from ..errors import TransQueueError
from ..events import Events
from ..lifeline import die_with_parent
from ..plugins import PluginState, load_plugins

LIMIT_SECONDS = 30.0

_spawn = multiprocessing.get_context("spawn")


class Probe:
    """One look at the enabled plugins; it runs while the caller does something else."""

    def __init__(self, config: Config) -> None:
        self._link, theirs = _spawn.Pipe(duplex=False)
        self._process = _spawn.Process(target=_look, args=(config, theirs, os.getpid()), name="probe")
        self._process.start()
        theirs.close()

    def states(self) -> Sequence[PluginState]:
        """The state of each plugin.

        Raises:
            TransQueueError: the configuration refuses the start (two claims of one type, say), or the look failed.
        """
        try:
            told = self._link.recv() if self._link.poll(LIMIT_SECONDS) else None
        except EOFError:
            told = None
        self._process.kill()
        self._process.join()
        if told is None:
            code = self._process.exitcode
            raise TransQueueError(
                f"loading the enabled plugins did not end well in a process of its own (exit code {code}): one of "
                "them hangs, exits or crashes when it is imported. Disable them one by one to find it"
            )
        if isinstance(told, BaseException):
            raise told
        states: Sequence[PluginState] = told
        return states


def _look(config: Config, link: Link, parent: int) -> None:
    die_with_parent(parent)
    try:
        link.send(list(load_plugins(config, events=Events()).states()))
    except TransQueueError as error:
        link.send(error)
