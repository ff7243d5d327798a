"""What the measurements install for themselves, in `.bench` of the checkout, once."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

CACHE = Path(__file__).parent.parent / ".bench"
INSTALL_SECONDS = 300


class NotInstalled(Exception):
    """Something optional could not be had here, and why."""


def program(name: str, *packages: str) -> Path:
    """A program on PATH, or else out of Debian packages, which are unpacked into the cache and not installed.

    Raises:
        NotInstalled: it is neither here nor can it be had.
    """
    found = shutil.which(name)
    if found:
        return Path(found)
    folder = CACHE / "debian"
    path = folder / "usr" / "bin" / name
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _run(["apt-get", "download", *packages], folder)
        for package in folder.glob("*.deb"):
            _run(["dpkg", "-x", package.name, "."], folder)
    if not path.exists():
        raise NotInstalled(f"{name} is not on PATH, and not in the Debian packages {', '.join(packages)}")
    return path


def libraries() -> dict[str, str]:
    """The environment in which a program out of the cache finds its libraries."""
    found = sorted((CACHE / "debian" / "usr" / "lib").glob("*-linux-gnu"))
    return {"LD_LIBRARY_PATH": ":".join(map(str, found))} if found else {}


def packages_beside(name: str, *requirements: str) -> Path:
    """A folder for PYTHONPATH that adds these distributions to this environment."""
    folder = CACHE / name
    if not folder.exists():
        _pip([sys.executable, "-m", "pip"], "--target", str(folder.with_suffix(".new")), *requirements)
        folder.with_suffix(".new").rename(folder)
    return folder


def environment(name: str, *requirements: str) -> Path:
    """The Python of a virtual environment with these distributions."""
    folder = CACHE / name
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(folder)], CACHE)
        _pip([str(python), "-m", "pip"], *requirements)
        (folder / "complete").touch()
    return python


def node_modules(name: str, *requirements: str) -> Path:
    """A folder with these npm packages; none of their install scripts runs."""
    folder = CACHE / name
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "package.json").write_text('{"private": true}')
        _run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", *requirements], folder)
        (folder / "complete").touch()
    return folder


def _pip(pip: list[str], *arguments: str) -> None:
    _run([*pip, "install", "--quiet", "--disable-pip-version-check", *arguments], CACHE)


def _run(command: list[str], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        ran = subprocess.run(command, cwd=folder, capture_output=True, timeout=INSTALL_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalled(f"{command[0]}: {error}") from error
    if ran.returncode:
        last = (ran.stderr or ran.stdout).decode(errors="replace").strip().splitlines()[-1:]
        raise NotInstalled(f"{command[0]} {command[1]}: {''.join(last)[:200]}")
