"""`plugins new NAME`: a whole package for a plugin, made from the templates beside this file. It asks nothing."""

from __future__ import annotations

import ast
import importlib.util
import json
import keyword
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from jinja2 import Environment, PackageLoader, StrictUndefined

from .. import __version__
from ..handlers import TYPE_PATTERN
from ..plugins.transaction_module import FUNCTIONS
from .setup import WRONG, Setup, fail

NAME = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*")
CLASSIC: Mapping[str, Any] = {"username": "user123", "value": 150.0}
GREETING: Mapping[str, Any] = {"name": "Ada"}
CLASSIC_TYPE = "deposit"

_TEMPLATES = Environment(
    loader=PackageLoader("transqueue.cli", "templates/plugin"),
    undefined=StrictUndefined,
    keep_trailing_newline=True,
    autoescape=False,  # noqa: S701 (Python and TOML, and no HTML)
)


@dataclass(frozen=True, slots=True)
class Kept:
    """The module that a plugin is made from: its source, which goes into the package, and its function."""

    name: str
    source: str
    function: str


@click.command("new")
@click.argument("name")
@click.option(
    "--dir", "folder", type=click.Path(path_type=Path), default=Path(), help="Where the package's folder goes."
)
@click.option("--type", "type_", help="The transaction type that it claims, else its name.")
@click.option("--class", "as_class", is_flag=True, help="A handler that is a class, made once in each worker.")
@click.option("--with-config", is_flag=True, help="With options of its own in config.yaml.")
@click.option("--from-module", help="Around an existing transaction_module, whose source is copied into the package.")
@click.pass_obj
def new(
    setup: Setup,
    *,
    name: str,
    folder: Path,
    type_: str | None,
    as_class: bool,
    with_config: bool,
    from_module: str | None,
) -> None:
    """Write a package for the plugin NAME: code, tests, README, and a config.yaml to try it out with."""
    if not NAME.fullmatch(name) or keyword.iskeyword(name):
        fail(f"{name!r} cannot be a plugin's name: lower case letters and digits, in parts joined by - or _.", WRONG)
    kept = _kept(from_module, setup.path.parent) if from_module else None
    if kept and with_config:
        fail("--from-module takes no --with-config: the module knows nothing of options.", WRONG)
    claimed = type_ or (CLASSIC_TYPE if kept else name)
    if not TYPE_PATTERN.fullmatch(claimed) or claimed.endswith("*"):
        fail(f"{claimed!r} cannot be a transaction type: letters, digits, _ and -, in parts joined by dots.", WRONG)
    facts = _facts(name, claimed, kept, as_class=as_class, with_config=with_config)
    package = folder / f"transqueue-{name}"
    _write(package, _files(facts, kept))
    _tell(package, facts)


def _facts(name: str, type: str, kept: Kept | None, *, as_class: bool, with_config: bool) -> dict[str, Any]:
    word = re.sub(r"\W", "_", name)
    title = "".join(part.capitalize() for part in word.split("_"))
    example = CLASSIC if kept else GREETING
    return {
        "name": name,
        "type": type,
        "distribution": f"transqueue-{name}",
        "module": f"transqueue_{word}",
        "function": "run" if keyword.iskeyword(word) or word == "compose" else word,
        "class_name": title,
        "summary": f"Process transactions of type {type}",
        "version": __version__,
        "as_class": as_class,
        "with_config": with_config,
        "process": kept.function if kept else "",
        "process_module": kept.name if kept else "",
        "example": json.dumps(example),
        "required": next(iter(example)),
    }


def _files(facts: Mapping[str, Any], kept: Kept | None) -> dict[str, str]:
    """The text of each file of the package, by its path."""
    source = f"src/{facts['module']}"
    made = {
        "pyproject.toml": _rendered("pyproject.toml", facts),
        "README.md": _rendered("README.md", facts),
        "config.yaml": _rendered("config.yaml", facts),
        ".gitignore": _rendered("gitignore", facts),
        f"{source}/__init__.py": _rendered("src/__init__.py", facts),
        f"{source}/py.typed": "",
        f"tests/test_{facts['module'].removeprefix('transqueue_')}.py": _rendered("tests/test_plugin.py", facts),
    }
    return {**made, f"{source}/{kept.name}.py": kept.source} if kept else made


def _rendered(template: str, facts: Mapping[str, Any]) -> str:
    return _TEMPLATES.get_template(f"{template}.j2").render(facts).rstrip("\n") + "\n"


def _write(package: Path, files: Mapping[str, str]) -> None:
    """All files or none; nothing that is there is touched."""
    if package.exists():
        fail(f"{package} is there already; it was left as it is. Choose another name or --dir.", WRONG)
    try:
        for path, text in files.items():
            file = package / path
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("x", encoding="utf-8") as opened:
                opened.write(text)
    except OSError as error:
        fail(f"{package} cannot be written: {error.strerror}", WRONG)


def _tell(package: Path, facts: Mapping[str, Any]) -> None:
    body = f'{{"type": "{facts["type"]}", "data": {facts["example"]}}}'
    click.echo(f"Wrote {package}, the plugin {facts['name']}, which claims the type {facts['type']}. Next:")
    click.echo(f"  cd {package}")
    click.echo("  pip install --editable .    # then `pytest` runs its tests")
    click.echo("  transqueue up               # starts everything with it, as its config.yaml says")
    click.echo(f"  transqueue submit {facts['type']} '{facts['example']}' --wait")
    click.echo("or, where TransQueue runs already:")
    click.echo(f"  transqueue plugins enable {facts['name']}")
    click.echo(f"  curl -s http://127.0.0.1:5000/api/data/ -H 'Content-Type: application/json' -d '{body}'")


def _kept(module: str, folder: Path) -> Kept:
    """The source of a module that Python finds, or that lies in `folder`; it is not imported."""
    file = _file_of(module, folder)
    source = file.read_text(encoding="utf-8")
    try:
        tree = ast.parse(source, str(file))
    except SyntaxError as error:
        fail(f"{file} is not Python: {error}", WRONG)
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    function = next((name for name in FUNCTIONS if name in functions), None)
    if function is None:
        fail(f"{file} has no function process(transaction).", WRONG)
    if any(isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(tree)):
        fail(f"{file} imports its neighbours by relative imports, so it cannot be copied away from them.", WRONG)
    return Kept(module.rpartition(".")[2], source, function)


def _file_of(module: str, folder: Path) -> Path:
    local = folder.joinpath(*module.split(".")).with_suffix(".py")
    if local.is_file():
        return local
    try:
        spec = importlib.util.find_spec(module) if module not in sys.modules else sys.modules[module].__spec__
    except (ImportError, ValueError):
        spec = None
    origin = Path(spec.origin) if spec and spec.origin else None
    if origin is None or origin.suffix != ".py" or origin.name == "__init__.py":
        fail(f"there is no module {module!r} of one file to make a plugin from, here or where Python looks.", WRONG)
    return origin
