"""The servers that peers need, each private, in a temporary folder, at durable settings."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .cache import NotInstalled, libraries, program

READY_SECONDS = 30.0
REDIS_PACKAGES = ("redis-tools", "redis-server", "liblua5.1-0", "libjemalloc2", "liblzf1", "lua-cjson", "lua-bitop")
NOBODY = "nobody"  # PostgreSQL does not run as root


@contextmanager
def redis() -> Iterator[str]:
    """Redis that syncs each write; its URL."""
    server, port = program("redis-server", *REDIS_PACKAGES), _free_port()
    with _folder(None) as folder:
        durable = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        command = [str(server), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), *durable]
        with _serving(command, lambda: _listens(port)):
            yield f"redis://127.0.0.1:{port}"


@contextmanager
def postgres() -> Iterator[str]:
    """PostgreSQL with its defaults, which sync each commit; its URL."""
    folder_of_programs, port = _postgres_programs(), _free_port()
    user = NOBODY if os.geteuid() == 0 else None
    with _folder(user) as folder:
        data = folder / "data"
        make = [str(folder_of_programs / "initdb"), "-D", str(data), "-U", "bench", "-A", "trust"]
        subprocess.run(make, check=True, capture_output=True, user=user, cwd=folder, timeout=READY_SECONDS)
        command = [str(folder_of_programs / "postgres"), "-D", str(data), "-p", str(port), "-k", str(folder)]
        ready = [str(folder_of_programs / "pg_isready"), "-h", "127.0.0.1", "-p", str(port), "-q"]
        tuned = ["-c", "shared_buffers=512MB", "-c", "listen_addresses=127.0.0.1"]
        with _serving([*command, *tuned], lambda: subprocess.run(ready, check=False).returncode == 0, user):
            yield f"postgresql://bench@127.0.0.1:{port}/postgres"


def _postgres_programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    if not found and not on_path:
        raise NotInstalled("PostgreSQL's initdb is neither on PATH nor under /usr/lib/postgresql: install postgresql")
    return found[-1].parent if found else Path(on_path or "").resolve().parent


@contextmanager
def _folder(user: str | None) -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="transqueue-peer-"))
    try:
        if user:
            shutil.chown(path, user)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _serving(command: Sequence[str], is_ready: Callable[[], bool], user: str | None = None) -> Iterator[None]:
    environ = {**os.environ, **libraries()}
    server = subprocess.Popen(command, env=environ, user=user, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    limit = time.monotonic() + READY_SECONDS
    try:
        while not is_ready():
            if server.poll() is not None or time.monotonic() > limit:
                raise NotInstalled(f"{Path(command[0]).name} did not start")
            time.sleep(0.05)
        yield
    finally:
        server.terminate()
        server.wait(READY_SECONDS)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
