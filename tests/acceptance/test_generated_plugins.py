"""Each kind of package that `plugins new` writes: installed by pip, tested, enabled, and sent a transaction."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from transqueue.cli import root
from transqueue.cli.setup import Setup

KINDS: Mapping[str, Sequence[str]] = {
    "plain": (),
    "a-class": ("--class",),
    "options": ("--with-config",),
    "both": ("--class", "--with-config"),
    "kept": ("--from-module", "nightly", "--type", "pay.in"),
}
RESULTS = {name: {"message": "Hello Ada"} for name in KINDS} | {"kept": {"paid": "user123"}}
NIGHTLY = '"""Pay."""\n\n\ndef process(transaction):\n    """Pay in."""\n    return {"paid": transaction["username"]}\n'

pytestmark = pytest.mark.timeout(600)


def run(site: Any, *command: str) -> str:
    environ = {**os.environ, "PYTHONPATH": str(site.packages), "COLUMNS": "200"}
    whole = [str(Path(sys.executable).parent / command[0]), *command[1:]]
    done = subprocess.run(whole, capture_output=True, text=True, cwd=site.folder, env=environ, timeout=300, check=False)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


@pytest.fixture(scope="module")
def generated(make_site: Any) -> Any:
    """A site with a package of each kind, installed without a network."""
    site = make_site()
    try:
        (site.folder / "nightly.py").write_text(NIGHTLY)
        for name, options in KINDS.items():
            asked = ["plugins", "new", name, "--dir", str(site.folder), *options]
            done = CliRunner().invoke(root, asked, obj=Setup(str(site.folder / "config.yaml")))
            assert done.exit_code == 0, done.output
        quiet = ("--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check")
        folders = [f"./transqueue-{name}" for name in KINDS]
        run(site, "python", "-m", "pip", "install", *quiet, "--target", str(site.packages), *folders)
        yield site
    finally:
        site.close()


def test_their_own_tests_pass(generated: Any) -> None:
    folders = [f"transqueue-{name}" for name in KINDS]
    told = run(generated, "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib", *folders)
    assert "passed" in told
    assert "skipped" not in told


def test_each_processes_a_transaction_in_a_running_transqueue(generated: Any) -> None:
    for name in KINDS:
        assert f"{name} is enabled" in run(generated, "transqueue", "plugins", "enable", name)
    running = generated.start("up")
    generated.wait_until(generated._is_open, timeout=120, message="the door opens")
    ids = {}
    for name in KINDS:
        data = {"username": "user123", "value": 5} if name == "kept" else {"name": "Ada"}
        type = "pay.in" if name == "kept" else name
        status, answer, _ = generated.ask("POST", "/api/data/", {"type": type, "data": data})
        assert status == 200, answer
        ids[name] = answer["data"]["transaction_id"]
    generated.until([*ids.values()], "done", timeout=120)
    assert {name: generated.transaction(id)["result"] for name, id in ids.items()} == RESULTS
    running.stop()
