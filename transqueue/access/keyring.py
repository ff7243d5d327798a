"""Recognises keys for one process, and remembers each for a moment, so that not every request asks the database.

What was looked up counts for `FRESH_SECONDS`, and for `STALE_SECONDS` while somebody else looks again; a key that is
revoked, or the first one that is made, is therefore known everywhere within 4 seconds of the answer to its writing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

from ..clock import Clock
from ..errors import QueueUnavailable
from .access import Access
from .key import ApiKey, fits, parts

Value = TypeVar("Value")

FRESH_SECONDS = 2.0
STALE_SECONDS = 4.0
REMEMBERED = 10_000  # ids at most, known and unknown ones
USED_AGAIN = timedelta(seconds=60)  # how exactly the last use is kept


class KeyStore(Protocol):
    """Where keys are kept. Each call may raise `QueueUnavailable`."""

    def find(self, id: str, /) -> ApiKey | None:
        """The key of this id, revoked and expired ones too."""
        ...

    def in_use(self) -> bool:
        """Whether any key has ever been made here; a revoked or expired one counts until it is deleted."""
        ...

    def used(self, id: str, /) -> None:
        """The key was used now."""
        ...


class Keyring:
    """Recognises keys. Safe for use by many threads."""

    def __init__(self, store: KeyStore, clock: Clock, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store, self._clock = store, clock
        self._keys = Remembered(store.find, monotonic)
        self._in_use = Remembered(lambda _: store.in_use(), monotonic)
        self._used: dict[str, datetime] = {}

    def in_use(self) -> bool:
        """Whether requests need a key.

        Raises:
            QueueUnavailable: that could not be looked up.
        """
        return self._in_use("")

    def authenticate(self, text: str) -> Access | None:
        """What the key of this text allows now; nothing when it is none, unknown, revoked or expired.

        Raises:
            QueueUnavailable: it could not be looked up.
        """
        id, secret = parts(text)
        key = self._keys(id) if id else None
        return self._admitted(key) if fits(secret, key) else None

    def access(self, key_id: str) -> Access | None:
        """What the key of this id allows now, for one who has shown it before.

        Raises:
            QueueUnavailable: it could not be looked up.
        """
        return self._admitted(self._keys(key_id))

    def remembers(self, text: str) -> bool:
        """Whether the key of this text was found before, so that looking again cannot be a guess."""
        return self._keys.has(parts(text)[0])

    def _admitted(self, key: ApiKey | None) -> Access | None:
        now = self._clock.now()
        if key is None or key.state(now) != "active":
            return None
        self._mark(key, now)
        return key.access

    def _mark(self, key: ApiKey, now: datetime) -> None:
        """Keep the time of use, now and then; that may fail, the request goes on."""
        last = max(filter(None, (self._used.get(key.id), key.last_used_at)), default=None)
        if last is None or now - last >= USED_AGAIN:
            self._used[key.id] = now
            with suppress(QueueUnavailable):
                self._store.used(key.id)


class Remembered(Generic[Value]):
    """What was looked up under a name, for a few seconds; one thread looks again while the others go on."""

    def __init__(self, look: Callable[[str], Value], monotonic: Callable[[], float]) -> None:
        self._look, self._monotonic = look, monotonic
        self._found: dict[str, tuple[float, Value]] = {}
        self._looking: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, name: str) -> Value:
        """What is under this name; whatever looking raises is raised."""
        began = self._monotonic()
        with self._lock:
            found = self._found.get(name)
            age = began - found[0] if found else STALE_SECONDS
            if found and (age < FRESH_SECONDS or (age < STALE_SECONDS and name in self._looking)):
                return found[1]
            self._looking.add(name)
        try:
            value = self._look(name)
        finally:
            with self._lock:
                self._looking.discard(name)
        self._keep(name, began, value)
        return value

    def has(self, name: str) -> bool:
        """Whether something was found under this name when it was last looked up."""
        found = self._found.get(name)
        return bool(found and found[1])

    def _keep(self, name: str, began: float, value: Value) -> None:
        """An older look never replaces a newer one: each counts from when it began."""
        with self._lock:
            found = self._found.get(name)
            if found is None or found[0] <= began:
                self._found.pop(name, None)
                self._found[name] = (began, value)
            while len(self._found) > REMEMBERED:
                del self._found[next(iter(self._found))]
