"""Recognises keys for one process, and remembers them for a moment, so that not every request asks the database.

All keys are read together, so that trying ids out costs the database nothing. A key that is revoked, or the first one
that is made, is known in every process within 4 seconds of the answer to its writing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Protocol

from ..clock import Clock
from ..errors import QueueUnavailable
from .access import Access
from .key import ApiKey, fits, parts
from .remembered import Remembered

USED_AGAIN = timedelta(seconds=60)  # how exactly the last use is kept


class KeyStore(Protocol):
    """Where keys are kept. Each call may raise `QueueUnavailable`."""

    def all(self) -> Sequence[ApiKey]:
        """Every key, revoked and expired ones too."""
        ...

    def used(self, id: str, /) -> None:
        """The key was used now."""
        ...


class Keyring:
    """Recognises keys. Safe for use by many threads; each call may raise `QueueUnavailable`."""

    def __init__(self, store: KeyStore, clock: Clock, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store, self._clock = store, clock
        self._keys = Remembered(lambda: {key.id: key for key in store.all()}, monotonic)
        self._used: dict[str, datetime] = {}

    def in_use(self) -> bool:
        """Whether there is any key; a revoked or expired one counts until it is deleted."""
        return bool(self._all())

    def authenticate(self, text: str) -> Access | None:
        """What the key of this text allows now; nothing when it is none, unknown, revoked or expired."""
        id, secret = parts(text)
        key = self._all().get(id)
        return self._admitted(key) if fits(secret, key) else None

    def access(self, key_id: str) -> Access | None:
        """What the key of this id allows now, for one who has shown it before."""
        return self._admitted(self._all().get(key_id))

    def _all(self) -> Mapping[str, ApiKey]:
        return self._keys()

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
