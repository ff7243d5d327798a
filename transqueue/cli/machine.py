"""The checks of `doctor` that look at this machine: Python, mongod, the data folder, the port."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import urllib3
from urllib3.exceptions import HTTPError

from ..api.server import check_free
from ..config import Config
from ..errors import AddressTaken, MongodNotStarted
from ..mongodb.binary import find_mongod
from ..mongodb.mongod_failures import CANNOT_EXECUTE, NOT_FOUND, explain_failure
from ..process.lifeline import ON_LINUX
from .finding import Finding, ok, warning, wrong
from .setup import api_url

LEAST_PYTHON = (3, 11)
VERSION_SECONDS = 5.0
LEAST_BYTES = 2**30
ANSWER_SECONDS = 2.0

OTHER_FOLDER = "Hand it over with chown -R, or name another data_dir in config.yaml."


def check_python() -> Finding:
    """The interpreter is new enough, and the system is one that is tested."""
    found = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.version_info[:2] < LEAST_PYTHON:
        return wrong("python", found, "Install TransQueue with Python 3.11 or newer.")
    return ok("python", found) if ON_LINUX else warning("python", f"{found}, which is not tested", "Use Linux.")


def check_machine(config: Config) -> Iterator[Finding]:
    """What the configuration needs of this machine."""
    if not config.mongodb.uri:
        yield check_mongod(config.data_dir)
        yield check_folder(config.data_dir)
    yield check_port(config)


def check_mongod(data_dir: Path) -> Finding:
    """The private mongod is there and can be executed here."""
    try:
        binary = find_mongod(os.environ)
        version = _version(binary, data_dir)
    except MongodNotStarted as error:
        return wrong("mongod", error.cause, error.cure)
    return ok("mongod", f"{version}, {binary}")


def check_folder(data_dir: Path) -> Finding:
    """The data folder can be written, or made, and its disk has room."""
    folder = data_dir
    try:
        while not folder.exists():
            folder = folder.parent
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as error:
        return wrong("data_dir", f"{data_dir} cannot be written: {error.strerror}", OTHER_FOLDER)
    room = f"{data_dir}, {free / 2**30:.1f} GiB free"
    if free < LEAST_BYTES:
        return warning("data_dir", room, "Free some space there: without any, nothing can be accepted.")
    return ok("data_dir", room)


def check_port(config: Config) -> Finding:
    """The API's port is free, or TransQueue answers there."""
    url = api_url(config)
    try:
        check_free(config.api.host, config.api.port)
    except AddressTaken as error:
        message, _, cure = str(error).partition(". ")
        return ok("port", f"TransQueue answers at {url}") if _answers(url) else wrong("port", message, cure)
    return ok("port", f"{url} is free: no API runs here")


def _version(binary: Path, data_dir: Path) -> str:
    command = [str(binary), "--version"]
    try:
        ran = subprocess.run(command, capture_output=True, timeout=VERSION_SECONDS, check=False)  # noqa: S603
    except OSError as error:
        returncode = NOT_FOUND if isinstance(error, FileNotFoundError) else CANNOT_EXECUTE
        raise explain_failure(returncode, str(error), "", binary, data_dir) from error
    except subprocess.TimeoutExpired as error:
        cause = f"{binary} --version did not end within {VERSION_SECONDS:g} s."
        raise MongodNotStarted(cause, "See what keeps this machine busy, or the disk it is on.") from error
    said = (ran.stdout + ran.stderr).decode(errors="replace")
    if ran.returncode:
        raise explain_failure(ran.returncode, said, "", binary, data_dir)
    found = re.search(r"version v?([\w.-]+)", said)
    return f"mongod {found[1]}" if found else "mongod of an unknown version"


def _answers(url: str) -> bool:
    try:
        answer = urllib3.request("GET", f"{url}/healthz", timeout=ANSWER_SECONDS, retries=False)
        return bool(answer.json() == {"status": "success"})
    except (HTTPError, ValueError):
        return False
