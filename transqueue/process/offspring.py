"""The processes that a plugin starts and leaves behind: told by a mark that they inherit, and ended with the founder.

A founder is a process of ours that runs plugins' code. The mark is a resource limit that nobody runs into (how long a
real-time process may run without a pause: some thirty years) with the founder's process id in it. It is handed on
through `fork`, `exec`, `setsid` and an empty environment, so whoever descends from a founder is found, whatever has
become of its parent. Linux only; elsewhere nothing is found.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_ON_LINUX = sys.platform.startswith("linux")
_MARK = 10**15  # microseconds
_PIDS = 2**22  # no process id is larger
_DEATH_MILLISECONDS = 1000  # for a killed one to be gone


def become_founder() -> None:
    """This process, and all that it will start, can be told from now on. Call it before any plugin's code runs."""
    if _ON_LINUX:
        with suppress(OSError, ValueError):  # offspring of a founder founds nothing: it ends with that founder
            limit = _MARK + os.getpid()
            resource.setrlimit(resource.RLIMIT_RTTIME, (limit, limit))


def end_offspring(founder: int) -> list[str]:
    """End all that descends from this founder, and not itself; what they were, as `name (pid)`."""
    return _end(lambda pid: pid != founder and _founder(pid) == founder)


def end_orphans() -> list[str]:
    """End whatever descends from founders that are dead, on this host and of this user; as `end_offspring`."""
    return _end(_is_orphan)


def _is_orphan(pid: int) -> bool:
    founder = _founder(pid)
    return founder not in (None, pid) and not (_founder(founder) == founder and _lives(founder))


def _founder(pid: int) -> int | None:
    """Whom it descends from; none where nobody founded it, it is another user's, or its process ids are not ours."""
    try:
        _, limit = resource.prlimit(pid, resource.RLIMIT_RTTIME)
        if not _MARK < limit <= _MARK + _PIDS or not Path(f"/proc/{pid}/ns/pid").samefile("/proc/self/ns/pid"):
            return None
    except OSError:
        return None
    return limit - _MARK


def _end(is_meant: Callable[[int], bool]) -> list[str]:
    """Kill until none is new: one that is killed cannot fork any more, but may have done so since we looked."""
    ended: dict[int, str] = {}
    while _ON_LINUX and (new := [pid for pid in _pids() if pid not in ended and is_meant(pid) and _lives(pid)]):
        ended |= {pid: _kill(pid, is_meant) for pid in new}
    return [told for told in ended.values() if told]


def _kill(pid: int, is_meant: Callable[[int], bool]) -> str:
    """Kill it and see it gone; nothing is told of one that was gone, or is another process by now."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return ""
    try:
        if not is_meant(pid):
            return ""
        told = f"{Path(f'/proc/{pid}/comm').read_text().strip()} ({pid})"
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        _is_gone(handle, _DEATH_MILLISECONDS)
    except OSError:
        return ""
    finally:
        os.close(handle)
    with suppress(ChildProcessError):  # it is ours to reap where we are the host's first process
        os.waitpid(pid, os.WNOHANG)
    return told


def _lives(pid: int) -> bool:
    """Whether it is running: not one that has ended, and is not reaped yet. What cannot be told lives."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    try:
        return not _is_gone(handle, 0)
    finally:
        os.close(handle)


def _is_gone(handle: int, milliseconds: int) -> bool:
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(milliseconds))


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
