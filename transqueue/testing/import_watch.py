"""What importing a plugin costs and does, seen in a process of its own: processor time, and input or output.

Run as a script, with the plugin's module as its argument: it must import nothing of TransQueue before the measurement
but what plugins import too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

LIMIT_SECONDS = 120.0

# Looking around, reading files and compiling are part of importing; these are not.
_DOINGS = frozenset(
    {
        "os.exec",
        "os.fork",
        "os.forkpty",
        "os.mkdir",
        "os.posix_spawn",
        "os.remove",
        "os.rename",
        "os.rmdir",
        "os.system",
        "socket.bind",
        "socket.connect",
        "socket.getaddrinfo",
        "socket.sendto",
        "subprocess.Popen",
    }
)

_SCRIPT = """
import json, sys, time
sys.dont_write_bytecode = True
import transqueue
doings, seen = set(json.loads(sys.argv[2])), []

def hear(event, arguments):
    if event in doings:
        seen.append(f"{event} {arguments!r}"[:200])
    elif event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        seen.append(f"open {arguments[0]!r} for writing"[:200])

sys.addaudithook(hear)
began = time.process_time()
__import__(sys.argv[1])
print("\\n" + json.dumps({"seconds": time.process_time() - began, "doings": seen[:10]}))
"""


@dataclass(frozen=True, slots=True)
class ImportSeen:
    """One import: the processor's seconds, and each input or output that it made."""

    seconds: float
    doings: tuple[str, ...]


def watch_import(module: str) -> ImportSeen:
    """Import a module in a new process that has imported `transqueue` before, and watch.

    Raises:
        RuntimeError: it cannot be imported, and why.
    """
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", _SCRIPT, module, json.dumps(sorted(_DOINGS))],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        timeout=LIMIT_SECONDS,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"importing {module} fails in a new process:\n{done.stderr.strip()}")
    told = json.loads(done.stdout.strip().rpartition("\n")[2])
    return ImportSeen(told["seconds"], tuple(told["doings"]))
