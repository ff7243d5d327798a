"""The garbage collector of a process that works in batches."""

from __future__ import annotations

import gc

COLLECT_AFTER = (20_000, 20, 20)  # a batch makes as many objects, which all live until it is over


def spare_the_collector() -> None:
    """What is loaded by now stays: it is not looked through again each time that batches have made many objects."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def collect_the_young() -> None:
    """What a handler has just left behind: it may be few objects, and much memory."""
    gc.collect(0)
