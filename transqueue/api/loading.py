"""The process that answers requests: what it takes on, and how it makes its application.

Nothing of the application is imported before it is made, so that those who only hand this on do without it.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection as Link
from typing import Any

from ..config import Config
from ..errors import TransQueueError
from ..plugins.enabled import Before
from ..process.collector import spare_the_collector
from ..process.lifeline import die_with_parent
from ..process.offspring import become_founder
from .balance import Balance, Share

CONNECTIONS = 1024  # at once; the server accepts no more
BROKEN = "TRANSQUEUE_BROKEN"  # in the application's config: why, by the plugins that do not work in its process

Loader = Callable[[Before, int], Any]  # makes the application; tells of each plugin before its code is run


@dataclass(frozen=True, slots=True)
class Loading:
    """A loader: `loader.load_app` with what is to be served."""

    config: Config
    uri: str
    log_json: bool

    def __call__(self, before: Before, number: int) -> Any:
        load_app = import_module(f"{__package__}.loader").load_app
        return load_app(self.config, self.uri, log_json=self.log_json, number=number, before=before)


def load(loader: Loader, threads: int, front: int, number: int, before: Before, said: Link, balance: Balance) -> Any:
    """The application behind its gate, in a process that does not outlive its front process.

    Args:
        number: which of the processes behind the front one it is.
        said: takes which plugins are broken, once the application is there, or why it is not.
    """
    die_with_parent(front)
    become_founder()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a terminal that closes tells all; only the front process decides
    try:
        application = loader(before, number)
    except TransQueueError as error:
        said.send(str(error))
        raise SystemExit(str(error)) from error
    spare_the_collector()
    said.send(dict(application.config.get(BROKEN, {})))
    share = Share(balance, number) if balance.processes > 1 else None
    gate = import_module(f"{__package__}.gate").Gate
    return gate(application, slots=threads, readers=CONNECTIONS // 2, share=share)
