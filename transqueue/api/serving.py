"""One process that answers requests, as its front process sees it: on its way, up, or ended."""

from __future__ import annotations

from collections.abc import Mapping
from multiprocessing.connection import Connection as Link
from typing import Any

from ..errors import PluginBroken
from .boot import ENDS, BootNote, late

WorkerProcess = Any  # granian's, which has no types


class Serving:
    """A process that was spawned.

    Args:
        said: its link, closed when it has given its word.

    Attributes:
        word: which plugins are broken in it, once it is up, or why it will not be; none until then.
        blamed: the plugin that it did not survive, if it was one.
    """

    def __init__(self, process: WorkerProcess, note: BootNote, said: Link) -> None:
        self.process, self._note, self._said = process, note, said
        self.word: str | Mapping[str, str] | None = None
        self.blamed: PluginBroken | None = None

    @property
    def answers(self) -> bool:
        """Whether it is up."""
        return isinstance(self.word, Mapping) and self.is_alive

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return bool(self.process.is_alive())

    def look(self, limit: float, seconds: float = 0.0) -> None:
        """Wait so long for its word; end it when a plugin has kept it from that for longer than `limit`."""
        if self.word is not None:
            return
        try:
            if self._said.poll(seconds):
                self._hear(self._said.recv())
            elif self._note.is_late(limit):
                self.blamed = self._note.blamed(late(limit))
                self._hear(str(self.blamed))
                self.process.kill()
        except (EOFError, OSError):
            self._ended()

    def end(self) -> None:
        """Have it end now."""
        self.process.kill()
        self.process.join()
        self._said.close()

    def _ended(self) -> None:
        self.process.join(1.0)
        code = f"(exit code {self.process.inner.exitcode})"
        self.blamed = self._note.blamed(ENDS)
        self._hear(str(self._note.blamed(f"{ENDS} {code}") or f"the new process that answers requests ended {code}"))

    def _hear(self, word: str | Mapping[str, str]) -> None:
        self.word = word
        self._said.close()
