"""A serving process replaced by another without a moment in which nobody listens.

The front process holds the listening socket, and every process behind it takes connections from that one: so what
waits to be accepted is never lost with a process. The new one loads the whole application first; only when it says
that it is up, and no plugin broke in it, does the old one end, once it has answered what is under way.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection as Link
from typing import Any, Protocol

from granian.net import SocketSpec  # type: ignore[attr-defined]
from granian.server.mp import MPServer

from ..admin.part import Reload
from ..errors import ReloadRefused
from ..plugins.isolation import limit_seconds
from .boot import ENDS, BootNote, late
from .loading import Loader, load

BOOT_SECONDS = 120.0
DRAIN_SECONDS = 35.0  # a request may wait for 30
LOOK_SECONDS = 0.1

WorkerProcess = Any  # granian's, which has no types


@dataclass(frozen=True, slots=True)
class Renewal:
    """What is to be served instead.

    Attributes:
        tolerated: plugins that are broken already: they are no reason to go on with the old.
    """

    loader: Loader
    tolerated: Collection[str] = ()


class Renewals(Protocol):
    """Where a serving process gets what to serve next, when it gets a SIGHUP."""

    def next(self, interrupted: Callable[[], bool]) -> Renewal | None:
        """What to serve from now on; none: nothing was asked for.

        Raises:
            ReloadRefused: there is nothing better than what is served now.
        """
        ...

    def tell(self, reload: Reload) -> None:
        """How it ended."""
        ...


class RenewableServer(MPServer):
    """granian's front process, with one process behind it that SIGHUP replaces."""

    def __init__(self, threads: int, renewals: Renewals | None, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self._threads, self._renewals = threads, renewals

    def _init_shared_socket(self) -> None:
        """One socket for all, as granian does where ports cannot be shared; its way on Linux loses what waits."""
        holder = SocketSpec(self.bind_addr, self.bind_port, self.backlog).build()
        self._ssp: Any = None
        self._shd: Any = holder
        self._sso = _as_socket(holder.get_fd())

    def _reload(self, spawn_target: Any, target_loader: Any) -> None:  # noqa: ARG002
        self.reload_signal = False
        if not self.interrupt_signal:
            self.main_loop_interrupt.clear()
        if self._renewals is None:
            return
        try:
            renewal = self._renewals.next(lambda: self.interrupt_signal)
            if renewal is None:
                return
            self._replace(spawn_target, renewal)
        except ReloadRefused as refused:
            self._renewals.tell(Reload(well=False, message=str(refused)))
        else:
            self._renewals.tell(Reload(well=True, message="put to use"))

    def _replace(self, spawn_target: Any, renewal: Renewal) -> None:
        new = self._bring_up(spawn_target, renewal)
        old: WorkerProcess = self.wrks[0]
        self.wrks[0] = new
        new._watch()
        old.terminate()
        threading.Thread(target=_see_off, args=(old,), daemon=True, name="seeing-off").start()

    def _bring_up(self, spawn_target: Any, renewal: Renewal) -> WorkerProcess:
        said, theirs = multiprocessing.get_context("spawn").Pipe(duplex=False)
        note = BootNote()
        loader = partial(load, renewal.loader, self._threads, os.getpid(), said=theirs, before=note.write)
        new: WorkerProcess = self._spawn_worker(idx=0, target=spawn_target, callback_loader=loader)
        new.interrupt_by_parent = True  # until it is up its end is no trouble of the front's
        new.inner.start()
        theirs.close()
        try:
            _refuse(self._word(said, new, note), renewal.tolerated)
        except ReloadRefused:
            new.kill()
            new.join()
            raise
        finally:
            said.close()
        new.interrupt_by_parent = False
        return new

    def _word(self, said: Link, new: WorkerProcess, note: BootNote) -> str | Mapping[str, str]:
        """What the new process says when it is up, or why it will not be: because of which plugin, if of one."""
        limit = limit_seconds()
        for _ in range(int(BOOT_SECONDS / LOOK_SECONDS)):
            if self.interrupt_signal:
                return "TransQueue is being stopped"
            try:
                if said.poll(LOOK_SECONDS):
                    word: str | Mapping[str, str] = said.recv()
                    return word
            except (EOFError, OSError):
                new.inner.join(1.0)
                code = f"(exit code {new.inner.exitcode})"
                return _kept(note.blamed(f"{ENDS} {code}") or f"the new process that answers requests ended {code}")
            if note.is_late(limit):
                return _kept(note.blamed(late(limit)))
        return _kept(f"the new process that answers requests was not ready after {BOOT_SECONDS:g} s")


def _kept(reason: object) -> str:
    return f"{reason}. What ran before goes on."


def _refuse(word: str | Mapping[str, str], tolerated: Collection[str]) -> None:
    if isinstance(word, str):
        raise ReloadRefused(word)
    broken = [f"plugin {name!r} breaks in the API: {reason}" for name, reason in word.items() if name not in tolerated]
    if broken:
        raise ReloadRefused("; ".join(broken))


def _see_off(old: WorkerProcess) -> None:
    old.join(DRAIN_SECONDS)
    old.kill()


def _as_socket(descriptor: int) -> socket.socket:
    """The socket behind a descriptor, which multiprocessing hands on to what is spawned."""
    shared = socket.socket(fileno=descriptor)
    shared.set_inheritable(True)
    return shared
