"""The front process: it holds the listening socket, and has a few processes behind it that answer requests.

Each of them takes connections from that one socket, so what waits to be accepted is never lost with a process. One that
ends by itself is replaced while the others go on answering. At a SIGHUP all are: the new ones load the whole
application first; only when each says that it is up, and no plugin broke in it, do the old ones end, once they have
answered what is under way.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import threading
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from multiprocessing.sharedctypes import RawArray
from typing import Any

from granian.net import SocketSpec  # type: ignore[attr-defined]
from granian.server.mp import MPServer

from ..admin.part import Reload
from ..errors import PluginBroken, ReloadRefused
from ..events import Events
from ..plugins.isolation import limit_seconds
from ..process.lifeline import boot_time
from ..process.offspring import end_orphans
from ..process.signals import interrupts_held
from .balance import Balance
from .boot import BootNote
from .loading import Loader, load
from .renewal import Renewal, Renewals
from .serving import Serving

AGAIN_SECONDS = 2.0  # until another one takes the place of one that ended
BOOT_SECONDS = 120.0
DRAIN_SECONDS = 35.0  # a request may wait for 30
LOOK_SECONDS = 0.1


class Front(MPServer):
    """granian's front process, with its own care for the processes behind it.

    Attributes:
        blamed: the plugin that none of the processes survived, when none is left.
    """

    def __init__(self, threads: int, renewals: Renewals | None, events: Events, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self._threads, self._renewals, self._events = threads, renewals, events
        self._serving: list[Serving] = []
        self._again_at: dict[int, float] = {}  # by number, of those that ended
        self.blamed: PluginBroken | None = None

    def _init_shared_socket(self) -> None:
        """One socket for all, as granian does where ports cannot be shared; its way on Linux loses what waits."""
        holder = SocketSpec(self.bind_addr, self.bind_port, self.backlog).build()
        self._ssp: Any = None
        self._shd: Any = holder
        self._sso = _as_socket(holder.get_fd())

    def _spawn_workers(self, spawn_target: Any, target_loader: Loader) -> None:
        self._target = spawn_target
        balance = self._balanced()
        self._put_to_use(self._begun(target_loader, balance), target_loader, balance)

    def _serve_loop(self, *_: Any) -> None:
        """Until a signal to stop, or until no process is left."""
        while not self.interrupt_signal:
            self.main_loop_interrupt.wait(LOOK_SECONDS)
            self.main_loop_interrupt.clear()
            if self.reload_signal and not self.interrupt_signal:
                self.reload_signal = False
                self._renew()
            if not self.interrupt_signal and not self._watch():
                self.interrupt_children.append(0)  # it ends as one that failed
                return

    # One that ends by itself

    def _watch(self) -> bool:
        """Start another one in the place of each that ended. Whether any is left."""
        for one in self._serving:
            one.look(limit_seconds())
        if not any(one.is_alive for one in self._serving):
            self.blamed = next((one.blamed for one in self._serving if one.blamed), None)
            return False
        for number, one in enumerate(self._serving):
            if not one.is_alive:
                self._replace(number, one)
        return True

    def _replace(self, number: int, ended: Serving) -> None:
        """A moment later, and only while another one answers: what no process survives is for the caller to judge."""
        if number not in self._again_at:
            self._again_at[number] = boot_time() + AGAIN_SECONDS
            self._balance.away(number)
            self._events.emit("door.died", exitcode=ended.process.inner.exitcode, pid=ended.process.inner.pid)
            end_orphans()
        elif boot_time() >= self._again_at[number] and any(one.answers for one in self._serving):
            del self._again_at[number]
            self._serving[number] = self._spawned(number, self._loader, self._balance)
            self.wrks[number] = self._serving[number].process

    # All, by new ones

    def _renew(self) -> None:
        if self._renewals is None:
            return
        try:
            renewal = self._renewals.next(lambda: self.interrupt_signal)
            if renewal is None:
                return
            self._succeed(renewal)
        except ReloadRefused as refused:
            self._renewals.tell(Reload(well=False, message=str(refused)))
        else:
            self._renewals.tell(Reload(well=True, message="put to use"))

    def _succeed(self, renewal: Renewal) -> None:
        balance = self._balanced()
        new, old = self._begun(renewal.loader, balance), self._serving
        try:
            for one in new:
                _refuse(self._word(one), renewal.tolerated)
        except ReloadRefused:
            for one in new:
                one.end()
            raise
        self._put_to_use(new, renewal.loader, balance)
        for one in old:
            one.process.terminate()
        threading.Thread(target=_see_off, args=(old,), daemon=True, name="seeing-off").start()

    def _word(self, one: Serving) -> str | Mapping[str, str]:
        """What the new process says when it is up, or why it will not be: because of which plugin, if of one."""
        for _ in range(int(BOOT_SECONDS / LOOK_SECONDS)):
            if self.interrupt_signal:
                return "TransQueue is being stopped"
            one.look(limit_seconds(), LOOK_SECONDS)
            if one.word is not None:
                return one.word
        return f"the new process that answers requests was not ready after {BOOT_SECONDS:g} s"

    # Spawning

    def _put_to_use(self, serving: list[Serving], loader: Loader, balance: Balance) -> None:
        self._serving, self._loader, self._balance = serving, loader, balance
        self.wrks = [one.process for one in serving]
        self._again_at.clear()

    def _balanced(self) -> Balance:
        return Balance(RawArray("i", self.workers))

    def _begun(self, loader: Loader, balance: Balance) -> list[Serving]:
        return [self._spawned(number, loader, balance) for number in range(self.workers)]

    def _spawned(self, number: int, loader: Loader, balance: Balance) -> Serving:
        said, theirs = multiprocessing.get_context("spawn").Pipe(duplex=False)
        note = BootNote()
        loads = partial(load, loader, self._threads, os.getpid(), number, note.write, theirs, balance)
        process = self._spawn_worker(idx=number, target=self._target, callback_loader=loads)
        with interrupts_held():
            process.inner.start()
        theirs.close()
        return Serving(process, note, said)


def _refuse(word: str | Mapping[str, str], tolerated: Collection[str]) -> None:
    if isinstance(word, str):
        raise ReloadRefused(f"{word}. What ran before goes on.")
    broken = [f"plugin {name!r} breaks in the API: {reason}" for name, reason in word.items() if name not in tolerated]
    if broken:
        raise ReloadRefused("; ".join(broken))


def _see_off(old: Sequence[Serving]) -> None:
    until = boot_time() + DRAIN_SECONDS
    for one in old:
        one.process.join(max(0.0, until - boot_time()))
        one.process.kill()


def _as_socket(descriptor: int) -> socket.socket:
    """The socket behind a descriptor, which multiprocessing hands on to what is spawned."""
    shared = socket.socket(fileno=descriptor)
    shared.set_inheritable(True)
    return shared
