"""A server of ours that is sure to end with us, also when this process is killed.

On Linux the kernel does it. Elsewhere a guard process holds the end of a pipe whose other end only this process has,
and kills the server when the pipe closes; untested there.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

from ..process.lifeline import ON_LINUX, die_with_parent
from .instance import process_started


def spawn(arguments: Sequence[str], environ: Mapping[str, str], output: int) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, out of reach of the terminal's signals.

    On Linux it is killed when the thread that calls this ends. Elsewhere see `spawn_guard`.

    Args:
        output: the file descriptor that takes what it writes.
    """
    parent = os.getpid()
    return subprocess.Popen(  # noqa: S603
        arguments,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        # It takes no lock that another thread may hold at the fork.
        preexec_fn=(lambda: die_with_parent(parent)) if ON_LINUX else None,  # noqa: PLW1509
    )


def spawn_guard(pid: int) -> subprocess.Popen[bytes]:
    """Start a process that kills `pid` when this process ends, or when the guard's `stdin` is closed."""
    arguments = [sys.executable, "-m", __name__, str(pid), process_started(pid)]
    return subprocess.Popen(arguments, stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603


def release_guard(guard: subprocess.Popen[bytes]) -> None:
    """End a guard whose server has ended."""
    guard.communicate()


def _guard(pid: int, started: str) -> None:
    sys.stdin.buffer.read()
    if process_started(pid) == started:  # and not another process that got its id
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    _guard(int(sys.argv[1]), sys.argv[2])
