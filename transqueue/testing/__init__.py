"""The plugin author's kit: a whole TransQueue in the test's process, and what puts a plugin to the test.

In tests the pytest fixtures `tq`, `make_tq` and `tq_mongod` give a `Kit`; they are there as soon as TransQueue is
installed.
"""

from ..errors import PluginBroken, SubmissionRefused
from .assertions import assert_enqueued, refute_enqueued
from .contract import PluginContract
from .deaths import crash, fail_times, hang
from .kit import Kit, Performed
from .memory_queue import MemoryQueue
from .settable_clock import SettableClock

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
