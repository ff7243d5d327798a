"""Processes that a handler starts and leaves behind end with its worker, however that ends."""

from __future__ import annotations

import os
import signal
from typing import Any

from .conftest import alive

LEAVING = """
    import os, subprocess
    from transqueue import handler

    def sleeper():
        return subprocess.Popen(["sleep", "600"]).pid

    def daemon():
        told, tell = os.pipe()
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.write(tell, str(os.getpid()).encode())
                os.execve("/bin/sleep", ["sleep", "600"], {})
            os._exit(0)
        os.wait()
        return int(os.read(told, 20))

    @handler("leave")
    def leave(transaction, context):
        return [sleeper(), daemon()]
"""


def test_what_a_handler_leaves_behind_ends_with_its_worker_and_none_outlives_the_supervisor(site: Any) -> None:
    site.plugin("leaving", LEAVING)
    running = site.work()

    def left() -> list[int]:
        (transaction,) = site.until(site.enqueue("leave", {}), "done")
        pids: list[int] = transaction["result"]
        assert [alive(pid) for pid in pids] == [True, True]
        return pids

    def gone(pids: list[int]) -> bool:
        return not any(alive(pid) for pid in pids)

    first = left()
    (worker,) = running.workers()
    os.kill(worker, signal.SIGKILL)
    site.wait_until(lambda: gone(first), message="they end with their killed worker")
    site.wait_until(lambda: len(running.events("worker.ready")) == 2, timeout=30, message="another worker is ready")

    second = left()
    assert running.stop() == 0
    assert gone(second), "they end with a worker that drains"
    told = [name for event in running.events("processes.left_behind") for name in event["processes"]]
    assert {f"sleep ({pid})" for pid in second} <= set(told)

    running = site.work()
    third = left()
    running.process.kill()
    site.wait_until(lambda: not running.workers(), message="the workers die with their supervisor")
    again = site.work()
    assert gone(third), "they end when the next supervisor starts"
    assert again.stop() == 0
