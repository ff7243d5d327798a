"""The bytes of config.yaml: a regular file of bounded size that only its owner's side can change, in UTF-8."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigInvalid, Problem

MAX_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Source:
    """A file's text, and whether every account of the host may read it."""

    text: str
    open_to_all: bool


def read_source(file: Path) -> Source:
    """The text of `file`.

    Raises:
        ConfigInvalid: it cannot or must not be read, with the one reason.
    """
    try:
        raw, mode = _read(file)
        return Source(_decoded(raw), bool(mode & stat.S_IROTH))
    except FileNotFoundError:
        problem = Problem(0, 0, "", "there is no such file; `transqueue init` writes one")
    except OSError as error:
        problem = Problem(0, 0, "", f"cannot be read: {error.strerror or error}")
    except _Refused as refused:
        problem = refused.problem
    except ValueError as error:  # a NUL in the path
        problem = Problem(0, 0, "", f"cannot be read: {error}")
    raise ConfigInvalid(str(file), [problem])


class _Refused(Exception):
    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        self.problem = Problem(line, column, "", message)
        super().__init__(message)


def _read(file: Path) -> tuple[bytes, int]:
    # Opened once and judged by its descriptor; without waiting, should it be a pipe that nobody writes to.
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        _refuse(mode)
        with open(descriptor, "rb", closefd=False) as stream:
            raw = stream.read(MAX_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(raw) > MAX_BYTES:
        raise _Refused(f"is larger than {MAX_BYTES // 1024} KiB")
    return raw, mode


def _refuse(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise _Refused("is a directory, not a file")
    if not stat.S_ISREG(mode):
        raise _Refused("is not a regular file")
    if mode & stat.S_IWOTH:
        raise _Refused("may be changed by every account of this host: run `chmod o-w` on it")


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        line, column = before.count(b"\n") + 1, len(before) - before.rfind(b"\n")
        message = f"is not UTF-8: byte 0x{raw[error.start]:02X} has no meaning here"
        raise _Refused(message, line, column) from None
