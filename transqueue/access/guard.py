"""Whether a key is needed here, and who shows one: the same for requests with a key and for those who log in.

Without any key in the database, and only while the door listens on loopback, everybody who reaches it may do
everything. From the first key on, each request to what is not open to everybody needs one.
"""

from __future__ import annotations

from ..errors import KeysMissing, SubmissionRefused
from .access import Access
from .keyring import Keyring, KeyStore
from .strangers import Strangers

NO_KEY = "This needs an API key, sent as `Authorization: Bearer tq_<id>_<secret>`."
WRONG_KEY = "This API key is not valid: it is unknown, revoked or expired."


class Guard:
    """Knows whom to let in. Each call may raise `QueueUnavailable`."""

    def __init__(self, keyring: Keyring, strangers: Strangers, *, loopback: bool) -> None:
        self.keyring, self._strangers, self._loopback = keyring, strangers, loopback

    def wants_key(self) -> bool:
        """Whether a key must be shown."""
        return not self._loopback or self.keyring.in_use()

    def recognised(self, text: str, address: str) -> Access:
        """What the key that was shown, from this address, allows.

        Raises:
            SubmissionRefused: 401 `unauthorized`, or 429 `too_many_wrong_keys`.
        """
        access = self.keyring.authenticate(text)
        if access is not None:
            return access
        seconds = self._strangers.wait_seconds(address)
        if seconds:
            message = f"Too many wrong API keys came from this address; wait {seconds} s."
            raise SubmissionRefused(429, "too_many_wrong_keys", message, retry_after_seconds=seconds)
        raise SubmissionRefused(401, "unauthorized", WRONG_KEY)


def require_keys(store: KeyStore, host: str, *, loopback: bool) -> None:
    """Refuse to open a door that others can reach to everybody.

    Raises:
        KeysMissing: with the cure.
        QueueUnavailable: the keys could not be looked up.
    """
    if not loopback and not store.all():
        raise KeysMissing(host)
