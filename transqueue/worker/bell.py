"""What tells an idle worker that something may have become due."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol


class Bell(Protocol):
    """What ends a worker's wait when something may have become due; see `mongodb.wakeup`."""

    @property
    def is_listening(self) -> bool: ...

    def listen(self) -> None: ...

    def rest(self) -> None: ...

    def heard(self) -> str | None: ...

    def sources(self) -> Collection[str]: ...


class NoBell:
    """Hears nothing: the worker looks by itself, often."""

    is_listening = False

    def listen(self) -> None: ...

    def rest(self) -> None: ...

    def heard(self) -> str | None:
        return None

    def sources(self) -> Collection[str]:
        return ()
