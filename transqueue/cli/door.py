"""The door as a process of its own, beside a supervisor."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Collection
from contextlib import suppress
from multiprocessing.connection import Connection as Link

import click

from .. import logs
from ..admin.part import Reload
from ..api.boot import LeftOut
from ..api.loading import Loader, Loading
from ..api.renewal import Renewal
from ..api.server import serve
from ..config import Config
from ..errors import PluginBroken, TransQueueError
from ..events import Events
from ..process.lifeline import boot_time, die_with_parent
from ..process.signals import interrupts_held
from .judging import Ruling

STOP_SECONDS = 8.0
AGAIN_SECONDS = 2.0

_spawn = multiprocessing.get_context("spawn")


class Door:
    """Serves the API in a child process, and starts it again when it dies. Use it from the main thread."""

    _link: Link

    def __init__(self, config: Config, uri: str, *, events: Events, log_json: bool) -> None:
        self._config, self._uri, self._log_json, self._events = config, uri, log_json, events
        self._left_out = LeftOut(events)
        self._process = self._start()
        self._again_at: float | None = None
        self._next: Config | None = None
        self.renewal: Reload | None = None

    def watch(self) -> None:
        """Start the process again, a moment after it ended; at once, without a plugin that it did not survive.

        Raises:
            PluginBroken: strictly, it did not survive a plugin.
        """
        if self._next:
            self._watch_renewal(self._next)
        if self._process.is_alive():
            return
        if stuck := self._stuck():
            self._left_out.blame(stuck)
            self._process, self._again_at = self._start(), None
        elif self._again_at is None:
            self._events.emit("door.died", exitcode=self._process.exitcode)
            self._again_at = boot_time() + AGAIN_SECONDS
        elif boot_time() >= self._again_at:
            self._process, self._again_at = self._start(), None

    def _stuck(self) -> PluginBroken | None:
        """The plugin that the dead process did not survive, as its last word."""
        with suppress(EOFError, OSError):
            while self._link.poll():
                if isinstance(said := self._link.recv(), PluginBroken):
                    return said
        return None

    def renew(self, ruling: Ruling, tolerated: Collection[str]) -> None:
        """Have the new configuration served; `renewal` tells how that ended."""
        self.renewal, self._next = None, ruling.config
        try:
            self._link.send(Renewal(self._loader(ruling.config), frozenset(tolerated)))
            os.kill(int(self._process.pid or 0), signal.SIGHUP)
        except OSError as error:
            self._renewed(Reload(well=False, message=f"the API's process cannot be told: {error}"))

    def _watch_renewal(self, config: Config) -> None:
        try:
            if self._link.poll():
                told = self._link.recv()
                if isinstance(told, PluginBroken):  # the last word of a process that had only begun
                    told = Reload(well=False, message=str(told))
                self._config = config if told.well else self._config
                self._renewed(told)
        except (EOFError, OSError):
            self._renewed(Reload(well=False, message="the API's process ended meanwhile"))

    def _renewed(self, reload: Reload) -> None:
        self._next, self.renewal = None, reload

    def close(self) -> None:
        """Take no more requests: answer those under way, then end."""
        self._process.terminate()
        self._process.join(STOP_SECONDS)
        self._process.kill()
        self._process.join()

    def _start(self) -> multiprocessing.context.SpawnProcess:
        self._link, theirs = _spawn.Pipe()
        arguments = (self._config, self._loader(self._config), theirs, os.getpid(), self._log_json)
        process = _spawn.Process(target=_serve, args=arguments, name="door")
        with interrupts_held():
            process.start()
        theirs.close()
        return process

    def _loader(self, config: Config) -> Loader:
        return Loading(self._left_out.usable(config), self._uri, self._log_json)


class _Told:
    """Renewals as the supervisor's process sends them."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def next(self, _interrupted: Callable[[], bool]) -> Renewal | None:
        renewal: Renewal | None = self._link.recv() if self._link.poll() else None
        return renewal

    def tell(self, reload: Reload) -> None:
        self._link.send(reload)


def _serve(config: Config, loader: Loader, link: Link, parent: int, log_json: bool) -> None:
    die_with_parent(parent)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until it is served
    logs.configure(as_json=log_json, level=config.logs.level.upper(), secrets=config.secrets)
    try:
        serve(config.api, loader, _Told(link), events=Events(logs.listener(role="api")))
    except TransQueueError as error:
        if isinstance(error, PluginBroken):
            link.send(error)
        click.echo(str(error), err=True)
        raise SystemExit(1) from error
