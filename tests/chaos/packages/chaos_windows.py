"""In which window a worker process is: one byte in a file per process, so that whoever stops the process can read it.

The file outlives the process. Only worker processes write; elsewhere `enter` does nothing.
"""

from __future__ import annotations

import mmap
import multiprocessing
import os
import random
import threading
import time
from functools import cache
from pathlib import Path

BETWEEN = "between"
LEASING = "leasing"  # from the write that leases to the reading of what was leased
HANDLER = "in the handler"
BEFORE_FENCE = "before the fence"  # the last effect is written, the fence is not answered
AFTER_FENCE = "after the fence"  # the fence matched, and the commit is not sent
COMMITTING = "committing"  # the commit is sent, and its answer is not read
COMMITTED = "committed"  # the answer is read, and nothing has come of it yet
SETTLING = "settling"  # outside a session

ALL = (BETWEEN, LEASING, HANDLER, BEFORE_FENCE, AFTER_FENCE, COMMITTING, COMMITTED, SETTLING)
REQUIRED = (LEASING, HANDLER, BEFORE_FENCE, AFTER_FENCE, COMMITTING)

_random = random.Random()


def folder(chaos: Path) -> Path:
    """Where the files are; each is named by its process id."""
    return chaos / "windows"


def read(file: Path) -> str:
    """The window that is written there."""
    written = file.read_bytes()
    return ALL[written[0]] if written else BETWEEN


def enter(window: str) -> None:
    """This worker process is in that window from now on."""
    if is_worker():
        _byte()[0] = ALL.index(window)


def linger(seconds: float, *, probability: float = 0.15) -> None:
    """Now and then stay in the present window for up to `seconds`, so that it can be hit."""
    if is_worker() and _random.random() < probability:
        time.sleep(_random.random() * seconds)


def is_worker() -> bool:
    """Whether this is the main thread of a worker process."""
    named = multiprocessing.current_process().name.startswith("worker-")
    return named and threading.current_thread() is threading.main_thread()


@cache
def _byte() -> mmap.mmap:
    file = folder(Path(os.environ["CHAOS_FOLDER"])) / str(os.getpid())
    file.write_bytes(b"\0")
    with file.open("r+b") as opened:
        return mmap.mmap(opened.fileno(), 1)
