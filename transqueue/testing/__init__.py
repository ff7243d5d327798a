"""The plugin author's kit."""

from .memory_queue import MemoryQueue
from .settable_clock import SettableClock

__all__ = ["MemoryQueue", "SettableClock"]
