"""The directive `from-code`: reference pages that are written by the code itself, so that they cannot be out of date.

What it makes is Markdown, from signatures, docstrings, the table of the door's operations, and the default config.yaml.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import pytest_transqueue
import transqueue
import transqueue.client
import transqueue.testing
from transqueue import hookspecs
from transqueue.api.operations import OPERATIONS
from transqueue.config.default import DEFAULT_CONFIG

PLUGINS = Path(__file__).parents[2] / "plugins"
LISTS = ("Args", "Attributes", "Raises", "Returns")


def hooks() -> Iterator[str]:
    """Every hook, with its signature and its docstring."""
    for name, function in vars(hookspecs).items():
        if name.startswith("transqueue_"):
            yield f"## `{name}`\n\n{signature(name, function)}\n\n{told(function)}"


def authors() -> Iterator[str]:
    """What `transqueue` itself exports."""
    yield from exports(transqueue)


def client() -> Iterator[str]:
    """What `transqueue.client` exports."""
    yield from exports(transqueue.client)


def testing() -> Iterator[str]:
    """What `transqueue.testing` exports, its fixtures first."""
    yield "## Fixtures\n\nThey are there in every pytest run where TransQueue is installed."
    for name, fixture in vars(pytest_transqueue).items():
        wrapped = getattr(fixture, "__wrapped__", None) or getattr(fixture, "_fixture_function", None)
        if wrapped is not None:
            yield f"### `{name}`\n\n{told(wrapped)}"
    yield from exports(transqueue.testing)


def configuration() -> Iterator[str]:
    """The whole file, as `transqueue init` writes it."""
    yield f"```yaml\n{DEFAULT_CONFIG}```"


def http() -> Iterator[str]:
    """Every route with what it takes and answers."""
    for operation in OPERATIONS:
        yield f"## `{operation.method.upper()} {operation.path}`\n\n{operation.summary} {operation.description}"
        rows = [f"| {200} | {', '.join(operation.success)} |"]
        rows += [f"| {status} | {name} |" for status, name in sorted(operation.errors.items())]
        yield "| status | answer |\n|---|---|\n" + "\n".join(rows)


def plugins() -> Iterator[str]:
    """What each plugin of this repository says of itself."""
    for readme in sorted(PLUGINS.glob("*/README.md")):
        yield re.sub(r"^#", "##", readme.read_text(encoding="utf-8"), flags=re.MULTILINE)


def exports(module: Any) -> Iterator[str]:
    """The public names of a module, in the order of its `__all__`."""
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            yield f"## `{name}`\n\n{signature(name, value)}\n\n{told(value)}"
            if inspect.isclass(value):
                yield from members(value)


def members(kind: type) -> Iterator[str]:
    """The documented methods and properties that a class itself defines."""
    for name, value in vars(kind).items():
        if name.startswith("_") or not (inspect.isfunction(value) or isinstance(value, property)):
            continue
        target = value.fget if isinstance(value, property) else value
        if target is not None and target.__doc__:
            code = "" if isinstance(value, property) else signature(name, target)
            yield f"### `{kind.__name__}.{name}`\n\n{code}\n\n{told(target)}"


def signature(name: str, target: Callable[..., Any]) -> str:
    """A signature as Python code, without what is not for callers."""
    try:
        whole = inspect.signature(target)
    except ValueError:
        return ""
    named = [one for one in whole.parameters.values() if one.name != "self" and not one.name.startswith("_")]
    text = re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(whole.replace(parameters=named)))
    return f"```python\n{name}{text}\n```"


def told(target: Any) -> str:
    """A docstring as Markdown: its lists as lists, its examples as code."""
    parts, lines = [], (inspect.getdoc(target) or "").splitlines()
    while lines:
        line = lines.pop(0)
        word = line.removesuffix(":")
        if line.endswith(":") and word in (*LISTS, "Example"):
            block: list[str] = []
            while lines and (not lines[0].strip() or lines[0].startswith(" ")):
                block.append(lines.pop(0))
            parts.append(example(block) if word == "Example" else f"**{word}**\n\n{listed(block)}\n")
        else:
            parts.append(line)
    return fenced("\n".join(parts))


def example(block: list[str]) -> str:
    """An example of a docstring."""
    return f"```python\n{textwrap.dedent(chr(10).join(block)).strip()}\n```\n"


def listed(block: list[str]) -> str:
    """The entries of `Args:` and the like; what is indented further goes on with its entry."""
    entries: list[str] = []
    for line in textwrap.dedent("\n".join(block)).splitlines():
        if line.startswith(" ") and entries:
            entries[-1] += f" {line.strip()}"
        elif line.strip():
            name, colon, words = line.partition(": ")
            entries.append(f"- `{name}`: {words}" if colon and " " not in name.strip(", ") else f"- {line}")
    return "\n".join(entries)


def fenced(text: str) -> str:
    """Indented code of a docstring in a fence of its own."""
    return re.sub(
        r"\n\n((?:    [^\n]*\n(?:\n(?=    ))?)+)",
        lambda found: f"\n\n```python\n{textwrap.dedent(found[1])}```\n",
        f"{text}\n",
    )


SOURCES: dict[str, Callable[[], Iterator[str]]] = {
    "authors": authors,
    "client": client,
    "configuration": configuration,
    "hooks": hooks,
    "http": http,
    "plugins": plugins,
    "testing": testing,
}


class FromCode(SphinxDirective):
    """One of `SOURCES`, by its name."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        text = "\n\n".join(SOURCES[self.arguments[0]]())
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def whole_contents(app: Sphinx, _: str, source: list[str]) -> None:
    """Take pages that are not there out of tables of contents; `the-rest` stands for those that none lists."""
    docs = Path(app.srcdir)
    tables = re.compile(r"^```\{toctree\}\n.*?^```", re.MULTILINE | re.DOTALL)
    lines = [line.strip() for table in tables.findall(source[0]) for line in table.splitlines()]
    listed = {page for line in lines if re.fullmatch(r"[\w*/-]+", line) for page in docs.glob(f"{line}.md")}
    rest = [page.stem for page in sorted(docs.glob("*.md")) if page not in listed and page.stem != "index"]

    def kept(table: re.Match[str]) -> str:
        there = [
            line
            for line in table[0].replace("the-rest\n", "".join(f"{name}\n" for name in rest)).splitlines(keepends=True)
            if line.startswith(("`", ":")) or not line.strip() or [*docs.glob(f"{line.strip()}.md")]
        ]
        return "".join(there)

    source[0] = tables.sub(kept, source[0])


def setup(app: Sphinx) -> dict[str, Any]:
    """What Sphinx calls."""
    app.add_directive("from-code", FromCode)
    app.connect("source-read", whole_contents)
    return {"parallel_read_safe": True}
