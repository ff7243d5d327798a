"""What importing a plugin costs and does, and what its declarations do, seen in a process of its own.

Watched are the processor's time, and input and output.

That process imports nothing of TransQueue before the measurement but what plugins import too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config import Config
from ..plugins import Found

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
module, doings, declared = sys.argv[1], set(json.loads(sys.argv[2])), json.loads(sys.argv[3])
seen = ignored = []

def hear(event, arguments):
    if event in doings:
        seen.append(f"{event} {arguments!r}"[:200])
    elif event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        seen.append(f"open {arguments[0]!r} for writing"[:200])

sys.addaudithook(hear)
began, seen = time.process_time(), []
__import__(module)
told = {"seconds": time.process_time() - began, "doings": seen[:10], "declaring": []}
if declared:
    seen = ignored
    from pathlib import Path
    from transqueue.config import made_config
    from transqueue.plugins import Found, load_one
    name, config = declared["found"]["name"], made_config(declared["config"], Path(declared["root"]))
    seen = []
    load_one(name, config, available={name: Found(**declared["found"])})
    told["declaring"] = seen[:10]
print("\\n" + json.dumps(told))
"""


@dataclass(frozen=True, slots=True)
class ImportSeen:
    """One import: the processor's seconds, each input or output that it made, and those of what it declares."""

    seconds: float
    doings: tuple[str, ...]
    declaring: tuple[str, ...] = ()


def watch_import(module: str) -> ImportSeen:
    """Import a module in a new process that has imported `transqueue` before, and watch.

    Raises:
        RuntimeError: it cannot be imported, and why.
    """
    return _watched(module, None)


def watch_loading(found: Found, config: Config, section: Mapping[str, Any]) -> ImportSeen:
    """As `watch_import`, and then ask the plugin for its schemas and its handlers.

    Raises:
        RuntimeError: it cannot be loaded, and why.
    """
    source = {"name": found.name, "value": found.value, "distribution": found.distribution, "version": found.version}
    values = {"plugins": {found.name: {"config": section}}}
    return _watched(found.module, {"found": source, "config": values, "root": str(config.root)})


def _watched(module: str, declared: Mapping[str, Any] | None) -> ImportSeen:
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", _SCRIPT, module, json.dumps(sorted(_DOINGS)), json.dumps(declared)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        timeout=LIMIT_SECONDS,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"importing {module} fails in a new process:\n{done.stderr.strip()}")
    told = json.loads(done.stdout.strip().rpartition("\n")[2])
    return ImportSeen(told["seconds"], tuple(told["doings"]), tuple(told["declaring"]))
