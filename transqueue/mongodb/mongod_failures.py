"""What to tell the user when the private mongod does not start: the cause, the cure, and always the same way out.

Each cause is one function from what is known about the ended process to a message, or none when it is another's.
The texts they look for are those of the dynamic loader, of Linux, and of mongod 5 to 8.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import MongodNotStarted

WAY_OUT = "Or use your own server: set `mongodb.uri` in config.yaml to a replica set of your own."

PORT_TAKEN = 48  # mongod's exit codes
FOLDER_REFUSED = 100
OTHER_VERSION = 62

CANNOT_EXECUTE = 126  # the shell's codes, for a program that did not even start
NOT_FOUND = 127

LEAST_BYTES = 64 * 2**10
SHOWN_LINES = 5
SHOWN_WIDTH = 300

_OPENSSL = (
    "apt-get install libssl3 (Ubuntu 24.04, Debian 13 and later: libssl3t64), dnf install openssl-libs; "
    "this is OpenSSL 3, which Debian 12, Ubuntu 22.04 and RHEL 9 or later have"
)
PACKAGE_OF = {
    "libcurl.so.4": "apt-get install libcurl4 (Ubuntu 24.04, Debian 13 and later: libcurl4t64), dnf install libcurl",
    "liblzma.so.5": "apt-get install liblzma5, dnf install xz-libs",
    "libssl.so.3": _OPENSSL,
    "libcrypto.so.3": _OPENSSL,
}


@dataclass(frozen=True, slots=True)
class _Ended:
    """A mongod that did not get ready, and all it said."""

    returncode: int
    said: str
    binary: Path
    data_dir: Path


Message = tuple[str, str]


def not_started(cause: str, cure: str) -> MongodNotStarted:
    """The error, with the way out that every cure ends with."""
    return MongodNotStarted(cause, f"{cure}\n{WAY_OUT}")


def explain_failure(returncode: int, output: str, log_tail: str, binary: Path, data_dir: Path) -> MongodNotStarted:
    """Why a mongod ended before it was ready, and what to do.

    Args:
        returncode: as `subprocess` gives it, or 126 or 127 as a shell does for a program that could not be started.
        output: what it, or the system in its place, wrote.
        log_tail: the lines it added to its log in this start.
    """
    ended = _Ended(returncode, f"{output}\n{log_tail}", binary, data_dir)
    for cause in _CAUSES:
        if message := cause(ended):
            return not_started(*message)
    return not_started(*_unknown(ended))


def explain_silence(seconds: float, log_tail: str, data_dir: Path) -> MongodNotStarted:
    """Why it was given up although it still runs."""
    return not_started(
        f"mongod was not ready within {seconds:g} s. Its last lines:\n{_last_lines(log_tail)}",
        f"A large data folder may need longer after a crash: start again. The whole log is {data_dir / 'mongod.log'}.",
    )


def folder_in_use(data_dir: Path, pid: int, owner: int = 0) -> MongodNotStarted:
    """Another living process has the data."""
    holder = f"the mongod of process {owner} (mongod's own is {pid})" if owner else f"process {pid}"
    return not_started(
        f"{data_dir} is in use by {holder if pid else 'another mongod'}.",
        "Stop that one (Ctrl-C where `transqueue up` runs), or give this one its own `data_dir` in config.yaml.",
    )


def _missing_library(ended: _Ended) -> Message | None:
    found = re.search(r"(?:error while loading shared libraries: |Error loading shared library )([^\s:]+)", ended.said)
    if not found:
        return None
    library = found[1]
    package = PACKAGE_OF.get(library, f"find the package of your distribution that has {library}")
    return f"{library} is missing, which {ended.binary} needs.", f"Install it: {package}."


def _old_system(ended: _Ended) -> Message | None:
    found = re.search(r"version [`']((?:GLIBC|GLIBCXX|CXXABI|OPENSSL)_[\w.]+)' not found", ended.said)
    if not found:
        return None
    return (
        f"This system is too old for {ended.binary}: version {found[1]} not found.",
        "It needs Debian 12, Ubuntu 22.04, RHEL 9 or later. Move to one of these.",
    )


def _no_avx(ended: _Ended) -> Message | None:
    if ended.returncode not in {-signal.SIGILL, 128 + signal.SIGILL}:
        return None
    return (
        "mongod met an instruction that this processor does not have (SIGILL): MongoDB 5 and later need AVX.",
        "In a virtual machine, let the guest see the host's processor (QEMU: `-cpu host`).",
    )


def _other_machine(ended: _Ended) -> Message | None:
    if "Exec format error" not in ended.said:
        return None
    machine = os.uname().machine
    return f"{ended.binary} is not a program for this machine ({machine}).", f"Install a MongoDB built for {machine}."


def _no_loader(ended: _Ended) -> Message | None:
    if ended.returncode != NOT_FOUND or not ended.binary.exists():
        return None
    return (
        f"{ended.binary} is there, but the loader it was linked for is not: it needs glibc.",
        "Use an image with glibc (Debian, Ubuntu, Fedora), not one with musl (Alpine).",
    )


def _not_executable(ended: _Ended) -> Message | None:
    if ended.returncode != CANNOT_EXECUTE:
        return None
    if ended.binary.exists() and os.statvfs(ended.binary).f_flag & os.ST_NOEXEC:
        mount = _mount_of(ended.binary)
        return (
            f"{ended.binary} may not be executed: {mount} is mounted noexec.",
            f"Install TransQueue's environment outside of {mount}, or remount it with `mount -o remount,exec {mount}`.",
        )
    return f"{ended.binary} may not be executed by this user.", f"Allow it with `chmod +x {ended.binary}`."


def _mount_of(path: Path) -> Path:
    path = path.resolve()
    return next((folder for folder in path.parents if folder.is_mount()), Path("/"))


def _disk_full(ended: _Ended) -> Message | None:
    if "No space left on device" not in ended.said and not _no_space(ended.data_dir):
        return None
    return f"The disk of {ended.data_dir} is full.", "Free some space there, or name another `data_dir` in config.yaml."


def _no_space(data_dir: Path) -> bool:
    """Without any, mongod cannot even write why it ends."""
    try:
        return shutil.disk_usage(data_dir).free < LEAST_BYTES
    except OSError:
        return False


def _no_permission(ended: _Ended) -> Message | None:
    found = re.search(
        r"read-only directory|Permission denied|Operation not permitted|Read-only file system|Failed to open \S+\.log",
        ended.said,
    )
    if not found:
        return None
    return (
        f"{ended.data_dir} cannot be written by this user, whose id is {os.geteuid()} ({found[0]}).",
        "Run as the user who owns it, hand it over with `chown -R`, or name another `data_dir` in config.yaml.",
    )


def _not_a_folder(ended: _Ended) -> Message | None:
    if not re.search(r"\[Errno \d+\] (File exists|Not a directory)", ended.said):
        return None
    return f"{ended.data_dir} is not a folder, or lies below a file.", "Name another `data_dir` in config.yaml."


def _other_holds_the_lock(ended: _Ended) -> Message | None:
    if "DBPathInUse" not in ended.said:
        return None
    error = folder_in_use(ended.data_dir, _pid_in_lock(ended.data_dir))
    return error.cause, error.cure.removesuffix(f"\n{WAY_OUT}")


def _pid_in_lock(data_dir: Path) -> int:
    try:
        return int((data_dir / "mongod" / "mongod.lock").read_text().strip())
    except (OSError, ValueError):
        return 0


_OTHER_VERSION_SAID = ("Wrong mongod version", "unsupported WiredTiger file version", "under any compatibility version")


def _other_version(ended: _Ended) -> Message | None:
    if ended.returncode != OTHER_VERSION and not any(said in ended.said for said in _OTHER_VERSION_SAID):
        return None
    return (
        f"The data in {ended.data_dir} was written by another, probably newer, version of MongoDB than {ended.binary}.",
        "Use that version (name its mongod in TRANSQUEUE_MONGOD), or name a fresh `data_dir` in config.yaml.",
    )


def _no_port(ended: _Ended) -> Message | None:
    if ended.returncode != PORT_TAKEN:
        return None
    return "Every port that was tried on 127.0.0.1 is in use.", "Stop what uses them; the log names the ports."


def _unknown(ended: _Ended) -> Message:
    how = f"was killed by signal {-ended.returncode}" if ended.returncode < 0 else f"ended with code {ended.returncode}"
    return (
        f"mongod {how} before it was ready. Its last lines:\n{_last_lines(ended.said)}",
        f"The whole log is {ended.data_dir / 'mongod.log'}.",
    )


def _last_lines(said: str) -> str:
    """The last lines that tell of trouble, else the last ones at all; JSON made readable."""
    lines = [line for line in said.splitlines() if line.strip()]
    troubles = [line for line in lines if not re.search(r'"s":"[ID]', line)]
    shown = [_readable(line)[:SHOWN_WIDTH] for line in (troubles or lines)[-SHOWN_LINES:]]
    return "\n".join(f"  {line}" for line in shown) or "  (none)"


def _readable(line: str) -> str:
    try:
        entry = json.loads(line)
        details = entry.get("attr", {})
        return " ".join([entry["msg"].strip(), json.dumps(details) if details else ""]).strip()
    except (ValueError, KeyError, AttributeError):
        return line.strip()


_CAUSES: tuple[Callable[[_Ended], Message | None], ...] = (
    _missing_library,
    _old_system,
    _no_avx,
    _other_machine,
    _no_loader,
    _not_executable,
    _disk_full,
    _no_permission,
    _not_a_folder,
    _other_holds_the_lock,
    _other_version,
    _no_port,
)
