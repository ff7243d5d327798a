"""Whatever a plugin does when its code runs becomes one named error, `PluginBroken`, and never anything worse.

It survives every exception, `SystemExit` included. It does not survive a hang, a crash of the interpreter or
`os._exit`: those take a process of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ..errors import PluginBroken
from .secrets import masked

REASON_LENGTH = 500


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
