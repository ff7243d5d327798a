"""The documentation is true: it builds without a warning, its code runs, and its tutorial is followed word for word."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(600)  # whole commands are run one after the other, on whatever machine
LIMIT_SECONDS = 300

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
TUTORIAL = (DOCS / "tutorial.md").read_text()
PAGES = sorted((DOCS / "how-to").glob("*.md"))
FILE = re.compile(r"^`([\w./-]+)`:\n\n```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHOP = '[project]\nname = "shop"\n[project.entry-points."transqueue.plugins"]\nshop = "shop"\n'
# Each page has a `shop` of its own, so each is tested in a process of its own; what they all import is imported once.
EACH = """
import os, sys, pytest, transqueue.testing.real
failed = False
for folder in sys.argv[1:]:
    child = os.fork()
    if not child:
        os.chdir(folder)
        sys.path.insert(0, folder)
        code = pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:schemathesis", "--rootdir", folder, folder])
        sys.stdout.flush()
        os._exit(code)
    failed |= os.waitpid(child, 0)[1] != 0
sys.exit(failed)
"""
SCRIPTS = {
    "pip": "from pip._internal.cli.main import main; sys.exit(main())",
    "pytest": "import pytest; sys.exit(pytest.main([*sys.argv[1:], '-p', 'no:cacheprovider']))",
    "transqueue": "from transqueue.cli import main; main()",
}


def test_it_builds_without_a_warning_and_without_a_network(tmp_path: Path) -> None:
    offline = {**os.environ, "http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", str(DOCS), str(tmp_path)]
    built = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_SECONDS, env=offline, check=False)
    assert (built.returncode, built.stderr) == (0, "")
    hooks = (tmp_path / "reference" / "hooks.html").read_text()
    assert "transqueue_before_enqueue" in hooks
    fetched = re.findall(r'(?:src|href)="(https?://[^"]+\.(?:js|css|woff2?))"', hooks)
    assert fetched == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_all_code_of_a_page_is_run(page: Path) -> None:
    assert page.read_text().count("```python") == len(FILE.findall(page.read_text()))


def test_the_code_of_the_pages_does_what_they_say(tmp_path: Path, mongo_uri: str) -> None:
    for page in PAGES:
        folder = tmp_path / page.stem
        folder.mkdir()
        (folder / "pyproject.toml").write_text(SHOP)
        for name, code in FILE.findall(page.read_text()):
            (folder / name).write_text(code)
    folders = [str(folder) for folder in sorted(tmp_path.iterdir()) if [*folder.glob("test_*.py")]]
    assert len(folders) >= 6
    environ = {**os.environ, "TRANSQUEUE_TEST_URI": mongo_uri}
    command = [sys.executable, "-c", EACH, *folders]
    ran = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=LIMIT_SECONDS, check=False)
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"


def test_the_tutorial_can_be_followed_word_for_word(reader: Reader) -> None:
    for kind, text in _steps(TUTORIAL):
        if kind == "file":
            reader.write(*text)
        else:
            reader.follow(*text)
    reader.interrupt()


@pytest.fixture
def reader(tmp_path: Path, site: Any, wait_until: Callable[..., Any]) -> Iterator[Reader]:
    reader = Reader(tmp_path, site.port, wait_until)
    yield reader
    reader.close()


class Reader:
    """Somebody who has followed "Begin", and goes on: a virtual environment that sees what this one has."""

    def __init__(self, home: Path, port: int, wait_until: Callable[..., Any]) -> None:
        self._home, self._folder, self._port, self._wait_until = home, home, port, wait_until
        self._up: subprocess.Popen[str] | None = None
        bin = _environment(home / ".venv")
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("TRANSQUEUE_", "PYTHON"))
        }
        self._environ = {
            **inherited,
            "PATH": f"{bin}{os.pathsep}{os.environ['PATH']}",
            "PIP_NO_INDEX": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # pip reads it so: no isolation
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PYTEST_ADDOPTS": "-p no:schemathesis",
        }

    def write(self, path: str, text: str) -> None:
        assert (self._folder / path).is_file(), f"the tutorial changes {path}, which is not there"
        (self._folder / path).write_text(text)

    def follow(self, command: str, shown: str) -> None:
        if command == "transqueue up":
            self._start()
            return
        here = command.replace(":5000", f":{self._port}")
        whole = f"{here}\npwd > {self._home}/.pwd"
        done = subprocess.run(
            whole,
            shell=True,
            cwd=self._folder,
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
        assert _told(done.stdout.replace(str(self._home), "/home/ann").replace(f":{self._port}", ":5000")) == _told(
            shown
        ), (
            command,
            done.stderr,
        )
        self._folder = Path((self._home / ".pwd").read_text().strip())
        if command == "transqueue init":
            file = self._folder / "config.yaml"
            file.write_text(file.read_text().replace("port: 5000", f"port: {self._port}"))

    def _start(self) -> None:
        out = self._home / "up.out"
        with out.open("w") as opened:
            self._up = subprocess.Popen(
                ["transqueue", "up"], cwd=self._folder, env=self._environ, stdout=opened, stderr=opened, text=True
            )
        self._wait_until(lambda: "Try:" in out.read_text(), timeout=100, message="`transqueue up` is ready")

    def interrupt(self) -> None:
        assert self._up is not None
        self._up.send_signal(signal.SIGINT)
        assert self._up.wait(60) == 0
        assert "Everything accepted is kept" in (self._home / "up.out").read_text()

    def close(self) -> None:
        if self._up and self._up.poll() is None:
            self._up.kill()
            self._up.wait(20)


def _environment(folder: Path) -> Path:
    """A virtual environment that has everything that this one has, and takes what is installed into it."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=60)
    packages = next((folder / "lib").glob("python*")) / "site-packages"
    ours = next(Path(entry) for entry in sys.path if entry.endswith("site-packages"))
    (packages / "ours.pth").write_text(f"import site; site.addsitedir({str(ours)!r})\n")
    for name, code in SCRIPTS.items():
        script = folder / "bin" / name
        script.write_text(f"#!{folder}/bin/python\nimport sys\nif __name__ == '__main__':\n    {code}\n")
        script.chmod(0o755)
    return folder / "bin"


def _steps(text: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """The files to write and the commands to run, in the order in which they stand."""
    for found in re.finditer(rf"{FILE.pattern}|^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        if found[1]:
            yield "file", (found[1], found[2])
            continue
        for part in re.split(r"^\$ ", found[3], flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield "command", (command, output)


def _told(text: str) -> str:
    """The text without what differs from run to run: ids and seconds."""
    return textwrap.dedent(re.sub(r"in \d+\.\d+s", "in Ns", re.sub(r"\d{21}", "ID", text))).strip()
