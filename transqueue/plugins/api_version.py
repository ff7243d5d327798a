"""Which version of the plugin contract a plugin was made for.

A module may say `transqueue_api = "1.0"`. It is read from the source before anything of it is imported: what was made
for a newer contract may not even survive its import here.
"""

from __future__ import annotations

import ast
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from ..errors import PluginBroken
from ..hookspecs import API_VERSION
from .find import Found
from .isolation import switch_off

PHASE = "version"
NAME = "transqueue_api"


def refuse_other_api(found: Found) -> None:
    """Refuse a plugin that was made for a contract which this version does not offer.

    Raises:
        PluginBroken: it was, or what it says is no version.
    """
    said = _declared(found)
    if said is None:
        return
    ours = ".".join(map(str, API_VERSION))
    try:
        major, minor = (int(part) for part in said.split("."))
    except ValueError:
        cure = f"Report it to the author of {found.source}, or switch it off: {switch_off(found.name)}"
        reason = f'{NAME} must be a version such as "{ours}", not {said!r}'
        raise PluginBroken(found.name, PHASE, reason, cure) from None
    if (major, minor) > API_VERSION or major != API_VERSION[0]:
        which = "transqueue" if (major, minor) > API_VERSION else found.distribution
        reason = f"it is made for version {said} of the plugin contract, and this is {ours}"
        raise PluginBroken(found.name, PHASE, reason, f"Upgrade {which}, or switch it off: {switch_off(found.name)}")


def _declared(found: Found) -> str | None:
    """What the module says, without importing it; none when it says nothing or cannot be read so."""
    try:
        source = Path(_spec(found.module.split(".")).origin or "").read_text(encoding="utf-8")
        tree = ast.parse(source)
    except (OSError, ValueError, SyntaxError, AttributeError):
        return None  # whatever is wrong is told by the import
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(one, ast.Name) and one.id == NAME for one in node.targets):
            return str(node.value.value) if isinstance(node.value, ast.Constant) else ast.unparse(node.value)
    return None


def _spec(parts: list[str]) -> ModuleSpec:
    """Where a module is, found as its import would, but importing none of its parents."""
    path: list[str] | None = None
    spec: ModuleSpec | None = None
    for at in range(len(parts)):
        spec = PathFinder.find_spec(".".join(parts[: at + 1]), path)
        path = list(spec.submodule_search_locations or ()) if spec else []
    if spec is None:
        raise OSError("there is no such module")
    return spec
