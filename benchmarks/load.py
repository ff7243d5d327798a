"""Load on a door: one body, posted over and over by many connections, each waiting for its answer: wrk does it."""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .cache import libraries, program

SCRIPT = Path(__file__).parent / "load.lua"
CONNECTIONS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What came of it; latencies in milliseconds."""

    requests: int
    seconds: float
    p50: float
    p99: float
    refused: int
    broken: int

    @property
    def rate(self) -> float:
        return (self.requests - self.refused) / self.seconds


def post(url: str, body: Any, seconds: float, connections: int = CONNECTIONS) -> Load:
    """Post a body to a URL for some seconds.

    Raises:
        NotInstalled: wrk cannot be had here.
    """
    wrk = program("wrk", "wrk", "libluajit-5.1-2", "libluajit-5.1-common")
    with tempfile.NamedTemporaryFile("w") as file:
        json.dump(body, file)
        file.flush()
        command = [
            wrk,
            "-t1",
            f"-c{connections}",
            f"-d{max(1, round(seconds))}s",
            "--timeout",
            "30s",
            "-s",
            SCRIPT,
            url,
            "--",
            file.name,
        ]
        ran = subprocess.run(command, env=libraries(), capture_output=True, text=True, check=True)
    (line,) = (line for line in ran.stdout.splitlines() if line.startswith("figures "))
    return Load(**json.loads(line.removeprefix("figures ")))
