"""The plugin author's kit: a whole TransQueue in the test's process, and what puts a plugin to the test.

In tests the pytest fixtures `tq`, `make_tq` and `tq_mongod` give a `Kit`; they are there as soon as TransQueue is
installed.
"""

from typing import TYPE_CHECKING, Any

from ..errors import PluginBroken, SubmissionRefused
from .assertions import assert_enqueued, refute_enqueued
from .deaths import crash, fail_times, hang
from .kit import Kit, Performed
from .memory_queue import MemoryQueue
from .settable_clock import SettableClock

if TYPE_CHECKING:
    from .contract import PluginContract

__all__ = [
    "Kit",
    "MemoryQueue",
    "Performed",
    "PluginBroken",
    "PluginContract",
    "SettableClock",
    "SubmissionRefused",
    "assert_enqueued",
    "crash",
    "fail_times",
    "hang",
    "refute_enqueued",
]


def __getattr__(name: str) -> Any:
    """`PluginContract`, for the one file of tests that subclasses it: what it is made of, no other test needs."""
    if name != "PluginContract":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .contract import PluginContract  # noqa: PLC0415

    return PluginContract
