"""Facts of the machine, and what a process has used of it."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import psutil

TICKS = os.sysconf("SC_CLK_TCK")
SYNCS = 200


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of these processes together."""
    return sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in pids)


def resident_mib(pid: int) -> float:
    return psutil.Process(pid).memory_info().rss / 2**20


def facts(folder: Path, mongod: str) -> dict[str, str]:
    """What a reader needs to know of the machine; `folder` is where the database lies."""
    return {
        "machine": f"{os.cpu_count()} cores ({_processor()}), {psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "disk": f"fdatasync after a 4 KiB write: {sync_milliseconds(folder):.2f} ms (median)",
        "MongoDB": mongod,
        "libraries": ", ".join(f"{name} {version(name)}" for name in ("pymongo", "flask", "marshmallow", "granian")),
    }


def sync_milliseconds(folder: Path) -> float:
    """How long this disk takes to keep 4 KiB."""
    taken = []
    path = folder / "sync"
    with path.open("wb", buffering=0) as file:
        for _ in range(SYNCS):
            file.write(b"\0" * 4096)
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - began)
    path.unlink()
    return sorted(taken)[SYNCS // 2] * 1000


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
