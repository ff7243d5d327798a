"""The door as a process of its own, beside a supervisor."""

from __future__ import annotations

import multiprocessing
import os
from functools import partial

import click

from ..api.loader import load_app
from ..api.server import serve
from ..config import Config
from ..errors import TransQueueError
from ..events import Events
from ..lifeline import boot_time, die_with_parent
from ..signals import interrupts_held

STOP_SECONDS = 8.0
AGAIN_SECONDS = 2.0

_spawn = multiprocessing.get_context("spawn")


class Door:
    """Serves the API in a child process, and starts it again when it dies. Use it from the main thread."""

    def __init__(self, config: Config, uri: str, *, events: Events, log_json: bool) -> None:
        self._arguments = (config, uri, log_json, os.getpid())
        self._events = events
        self._process = self._start()
        self._again_at: float | None = None

    def watch(self) -> None:
        """Start the process again, a moment after it ended."""
        if self._process.is_alive():
            return
        if self._again_at is None:
            self._events.emit("door.died", exitcode=self._process.exitcode)
            self._again_at = boot_time() + AGAIN_SECONDS
        elif boot_time() >= self._again_at:
            self._process, self._again_at = self._start(), None

    def close(self) -> None:
        """Take no more requests: answer those under way, then end."""
        self._process.terminate()
        self._process.join(STOP_SECONDS)
        self._process.kill()
        self._process.join()

    def _start(self) -> multiprocessing.context.SpawnProcess:
        process = _spawn.Process(target=_serve, args=self._arguments, name="door")
        with interrupts_held():
            process.start()
        return process


def _serve(config: Config, uri: str, log_json: bool, parent: int) -> None:
    die_with_parent(parent)
    try:
        serve(config.api.host, config.api.port, config.api.threads, partial(load_app, config, uri, log_json=log_json))
    except TransQueueError as error:
        click.echo(str(error), err=True)
        raise SystemExit(1) from error
