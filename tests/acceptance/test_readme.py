"""What the README shows is what happens: its commands are run, in order, against what `make run` starts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
SHOWN_PORT = ":5000"


def examples() -> list[tuple[str, str]]:
    """Each command of the console blocks, with the output shown for it."""
    found: list[tuple[str, str]] = []
    for block in re.findall(r"^```console\n(.*?)^```", README, re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append((command, output.strip()))
    return found


def without_chance(text: str) -> str:
    """The text without what differs from run to run: ids and milliseconds."""
    return re.sub(r"\d+ ms", "N ms", re.sub(r"\d{21}", "ID", text)).strip()


def test_the_commands_of_the_readme_give_the_output_that_it_shows(site: Any) -> None:
    (site.folder / "config.yaml").write_text(
        (ROOT / "config.yaml").read_text().replace("port: 5000", f"port: {site.port}")
    )
    running = site.start("up")
    site.wait_until(lambda: "Try:" in running.out, timeout=60, message="`transqueue up` is ready")
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    assert examples()
    for command, shown in examples():
        here = command.replace(SHOWN_PORT, f":{site.port}")
        done = subprocess.run(
            here, check=False, shell=True, cwd=site.folder, env=environ, capture_output=True, text=True, timeout=60
        )
        assert without_chance(done.stdout) == without_chance(shown), (command, done.stderr)


def test_what_the_readme_shows_of_the_start_is_what_is_printed(site: Any) -> None:
    shown = next(
        block for block in re.findall(r"^```\n(.*?)^```", README, re.MULTILINE | re.DOTALL) if "is ready" in block
    )
    (site.folder / "config.yaml").write_text(
        (ROOT / "config.yaml").read_text().replace("port: 5000", f"port: {site.port}")
    )
    running = site.start("up")
    site.wait_until(lambda: "-d '{" in running.out, timeout=60, message="`transqueue up` is ready")
    printed = running.out.partition("\n\n")[2].replace(f":{site.port}", SHOWN_PORT)
    printed = printed.replace(str(site.folder), "/home/ann/transqueue")
    assert without_chance(printed) == without_chance(shown)


def test_the_plugin_of_the_readme_works(site: Any) -> None:
    site.plugin("shown", block_of("transqueue_greet.py"))
    site.work()
    (greeted,) = site.until(site.enqueue("greet", {"name": "Ada"}), "done")
    assert greeted["result"] == {"message": "Hello Ada"}


def test_the_project_file_of_the_readme_declares_the_plugin() -> None:
    project = tomllib.loads(block_of("pyproject.toml"))["project"]
    assert project["entry-points"] == {"transqueue.plugins": {"greet": "transqueue_greet"}}
    assert project["dependencies"] == ["transqueue"]


def block_of(file: str) -> str:
    """The code that the README shows as this file."""
    shown = re.search(rf"`{re.escape(file)}`:\n\n```\w+\n(.*?)```", README, re.DOTALL)
    assert shown
    return shown[1]
