"""The built wheels, installed in an empty environment outside of the checkout: what a user gets."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
BUILT_SECONDS, INSTALLED_SECONDS = 100, 200


@pytest.mark.timeout(400)
def test_the_wheels_alone_make_a_machine_that_deposits(place: Any, tmp_path: Path) -> None:
    binaries = installed(wheels(tmp_path / "wheels"), tmp_path / "venv")
    place.config.unlink()
    assert place.run("init", command=binaries / "transqueue").code == 0
    place.change("port: 5000", f"port: {place.port}")
    with place.up(command=binaries / "transqueue") as running:
        assert "is done after" in running.out
        submitted = place.run(
            "submit", "deposit", '{"username": "ann", "value": 5}', "--wait", command=binaries / "transqueue"
        )
        assert submitted.out.startswith("1 accepted, 1 done"), repr(submitted)
        plugins = place.run("plugins", "--json", command=binaries / "transqueue").json["plugins"]
        assert [(plugin["name"], plugin["state"]) for plugin in plugins] == [("ledger", "ok"), ("greet", "ok")]
        assert running.interrupt() == 0, repr(running)


def wheels(folder: Path) -> list[Path]:
    for project in (ROOT, ROOT / "plugins" / "ledger", ROOT / "plugins" / "greet"):
        called(BUILT_SECONDS, "-m", "build", "--wheel", "--outdir", str(folder), str(project))
    built = sorted(folder.glob("*.whl"))
    assert len(built) == 3
    return built


def installed(built: list[Path], folder: Path) -> Path:
    """The folder of programs of a new environment that has the wheels and what they need, and nothing else."""
    venv.create(folder, with_pip=False)
    core = next(wheel for wheel in built if wheel.name.startswith("transqueue-"))
    wanted = [f"transqueue[embedded] @ {core.as_uri()}", *(str(wheel) for wheel in built if wheel != core)]
    programs = folder / "bin"
    called(INSTALLED_SECONDS, "-m", "pip", "--python", str(programs / "python"), "install", "--quiet", *wanted)
    return programs


def called(seconds: float, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=seconds, cwd="/", check=False
    )
    assert done.returncode == 0, f"{arguments}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
