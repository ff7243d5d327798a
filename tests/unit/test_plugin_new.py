"""`plugins new`: what is written, and what is refused."""

from __future__ import annotations

import ast
import tomllib

import pytest
from click.testing import CliRunner

from transqueue.cli import root
from transqueue.cli.setup import Setup

NIGHTLY = '"""Pay."""\n\n\ndef process(transaction):\n    """Pay in."""\n    return transaction["username"]\n'


@pytest.fixture
def new(tmp_path, monkeypatch):
    """The function `new(*arguments)`: the result of `transqueue plugins new`, run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(root, ["plugins", "new", *arguments], obj=Setup(None))


KINDS = {
    "plain": (),
    "a-class": ("--class",),
    "options": ("--with-config",),
    "both": ("--class", "--with-config"),
    "dotted": ("--type", "acme.pay.in"),
    "kept": ("--from-module", "nightly"),
    "kept-class": ("--from-module", "nightly", "--class", "--type", "pay"),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_whole_package_is_written(new, tmp_path, name):
    (tmp_path / "nightly.py").write_text(NIGHTLY)
    done = new(name, *KINDS[name])
    assert done.exit_code == 0, done.output
    package = tmp_path / f"transqueue-{name}"
    module = f"transqueue_{name.replace('-', '_')}"
    files = {str(file.relative_to(package)) for file in package.rglob("*") if file.is_file()}
    assert files >= {
        ".gitignore", "README.md", "config.yaml", "pyproject.toml", f"src/{module}/__init__.py",
        f"tests/test_{name.replace('-', '_')}.py",
    }  # fmt: skip
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    assert project["entry-points"] == {"transqueue.plugins": {name: module}}
    for file in package.rglob("*.py"):
        assert ast.get_docstring(ast.parse(file.read_text()))
    assert all("{{" not in (package / file).read_text() and "{%" not in (package / file).read_text() for file in files)


def test_the_next_steps_are_told(new):
    told = new("hello").output
    assert "cd transqueue-hello" in told
    assert "pip install --editable ." in told
    assert "transqueue plugins enable hello" in told
    assert """transqueue submit hello '{"name": "Ada"}' --wait""" in told


def test_nothing_is_overwritten(new, tmp_path):
    (tmp_path / "transqueue-hello").mkdir()
    (tmp_path / "transqueue-hello" / "README.md").write_text("mine")
    done = new("hello")
    assert done.exit_code == 2
    assert "is there already" in done.output
    assert (tmp_path / "transqueue-hello" / "README.md").read_text() == "mine"
    assert len(list((tmp_path / "transqueue-hello").iterdir())) == 1


def test_it_goes_where_it_is_told_to(new, tmp_path):
    assert new("hello", "--dir", "made/here").exit_code == 0
    assert (tmp_path / "made" / "here" / "transqueue-hello" / "pyproject.toml").is_file()


@pytest.mark.parametrize("name", ["Hello", "2fast", "hello world", "class", "../hello", "hello-", "", "é"])
def test_a_name_that_will_not_do_is_refused(new, tmp_path, name):
    done = new(name)
    assert done.exit_code == 2
    assert "cannot be a plugin's name" in done.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("type", ["pay in", "pay.*", "", ".pay"])
def test_a_type_that_will_not_do_is_refused(new, tmp_path, type):
    assert new("hello", "--type", type or " ").exit_code == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (None, "there is no module"),
        ("def run(transaction): ...\n", "has no function process"),
        ("from . import other\ndef process(transaction): ...\n", "relative imports"),
        ("def process(:\n", "is not Python"),
    ],
)
def test_a_module_that_cannot_be_copied_is_refused(new, tmp_path, source, words):
    if source is not None:
        (tmp_path / "acme_nightly.py").write_text(source)
    done = new("hello", "--from-module", "acme_nightly")
    assert done.exit_code == 2
    assert words in done.output


def test_a_module_is_copied_and_not_imported(new, tmp_path):
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "pay.py").write_text(f"{NIGHTLY}\nraise SystemExit\n")
    assert new("hello", "--from-module", "acme.pay").exit_code == 0
    copied = tmp_path / "transqueue-hello" / "src" / "transqueue_hello" / "pay.py"
    assert copied.read_text() == (tmp_path / "acme" / "pay.py").read_text()
    assert new("other", "--from-module", "acme.pay", "--with-config").exit_code == 2
