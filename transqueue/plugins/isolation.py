"""Whatever a plugin does when its code runs becomes one named error, `PluginBroken`, and never anything worse.

It survives every exception, `SystemExit` included. It does not survive a hang, a crash of the interpreter or
`os._exit`: those take a process of their own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ..errors import PluginBroken, TransQueueError
from .secrets import masked

REASON_LENGTH = 500
LIMIT = "TRANSQUEUE_PROBE_SECONDS"  # how long each step of loading and starting one plugin may take
LIMIT_SECONDS = 30.0
STRICT = "TRANSQUEUE_STRICT"


@contextmanager
def isolated(plugin: str, phase: str, cure: str, secrets: Sequence[str] = ()) -> Iterator[None]:
    """Run a plugin's code: what it raises, but for KeyboardInterrupt, comes out as `PluginBroken` with the cause.

    `secrets` are masked in the reason.
    """
    try:
        yield
    except (KeyboardInterrupt, PluginBroken):
        raise
    except BaseException as error:
        raise PluginBroken(plugin, phase, masked(told(error), secrets), cure) from error


def told(error: BaseException) -> str:
    """An exception in one line of bounded length."""
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = "its message cannot be shown"
    return f"{type(error).__name__}: {text}"[:REASON_LENGTH].rstrip(".: ")


def switch_off(plugin: str) -> str:
    """The line of config.yaml that disables a plugin."""
    return f"plugins: {{{plugin}: {{enabled: false}}}}"


def is_strict() -> bool:
    """Whether a plugin that does not work refuses the start, by TRANSQUEUE_STRICT=1 in the environment."""
    return os.environ.get(STRICT) == "1"


def limit_seconds() -> float:
    """How long a process that loads or starts a plugin is waited for.

    Raises:
        TransQueueError: the environment names no number.
    """
    given = os.environ.get(LIMIT, "")
    try:
        return float(given) if given else LIMIT_SECONDS
    except ValueError:
        raise TransQueueError(f"{LIMIT} must be a number of seconds, not {given!r}") from None


def unsurvived(plugin: str, phase: str, reason: str) -> PluginBroken:
    """The plugin did not let the process live that loaded or started it."""
    return PluginBroken(plugin, phase, reason, f"Correct it, or switch it off: {switch_off(plugin)}")
