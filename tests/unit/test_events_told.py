"""Every event that the code emits is in the documentation with its facts, and nothing else is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"\| `([a-z_.]+)` \| ([^|]*) \|")
COMPOSED = {"transaction.buried", "transaction.rejected", "transaction.retried"}  # from the verb that settles
FROM_ELSEWHERE = {"hook", "plugin", "type"}  # facts that are handed on as a whole


def emitted():
    """By event, the facts that are named where it is emitted."""
    found = {}
    for file in (ROOT / "transqueue").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if is_emission(node):
                facts = {one.arg for one in node.keywords if one.arg}
                found[node.args[0].value] = found.get(node.args[0].value, set()) | facts
    return found


def is_emission(node):
    is_emit = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "emit"
    return is_emit and bool(node.args) and isinstance(node.args[0], ast.Constant)


def told():
    rows = ROW.findall((ROOT / "docs" / "operations" / "events.md").read_text())
    return {name: set(re.findall(r"`(\w+)`", facts)) for name, facts in rows}


def test_every_event_is_told_with_its_facts():
    documented = told()
    missing = {name: facts for name, facts in emitted().items() if not facts <= documented.get(name, set())}
    assert missing == {}, "put these into docs/operations/events.md"


def test_nothing_is_told_that_does_not_happen():
    happens = emitted()
    known = {name: facts - happens.get(name, set()) - FROM_ELSEWHERE for name, facts in told().items()}
    assert {name for name in known if name not in happens} == COMPOSED
    assert {name: facts for name, facts in known.items() if facts and name not in COMPOSED} == {}
