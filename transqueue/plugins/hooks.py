"""The plugins' hooks in pluggy: register one plugin, hold it to the page of hooks, call it alone.

A misspelt hook is an error here, not silence. Calls go to one plugin at a time, because in pluggy an exception in one
implementation stops those of the others.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator
from typing import Any

import pluggy

from .. import hookspecs
from ..config import did_you_mean
from ..errors import PluginBroken
from .isolation import isolated

PHASE = "hooks"
CURE = "Every hook, with its arguments, is in transqueue/hookspecs.py"


def new_hooks() -> pluggy.PluginManager:
    """An empty set of plugins that knows every hook."""
    hooks = pluggy.PluginManager(hookspecs.PROJECT)
    hooks.add_hookspecs(hookspecs)
    return hooks


def register(hooks: pluggy.PluginManager, name: str, part: object) -> None:
    """Add what one plugin implements.

    Raises:
        PluginBroken: a hook of it is misspelt or takes a wrong argument; nothing of it was added.
    """
    with isolated(name, PHASE, CURE):
        mistakes = list(_mistakes(hooks, part))
        if mistakes:
            raise PluginBroken(name, PHASE, "; ".join(mistakes), CURE)
        hooks.register(part, name)


def implements(hooks: pluggy.PluginManager, part: object, hook: str) -> bool:
    """Whether `part`, which is registered, implements the hook."""
    return any(caller.name == hook for caller in hooks.get_hookcallers(part) or ())


def answers(hooks: pluggy.PluginManager, parts: Collection[object], hook: str, **arguments: Any) -> list[Any]:
    """Call a hook of one plugin, which consists of `parts`, and of no other: its answers that are not None."""
    others = [other for other in hooks.get_plugins() if not any(other is part for part in parts)]
    found: list[Any] = hooks.subset_hook_caller(hook, others)(**arguments)
    return found


def _mistakes(hooks: pluggy.PluginManager, part: object) -> Iterator[str]:
    for attribute in dir(part):
        options = hooks.parse_hookimpl_opts(part, attribute)
        if options is not None:
            name = options.get("specname") or attribute
            yield from _misspelt(hooks, name, optional=bool(options.get("optionalhook")))
            yield from _misfits(hooks, name, getattr(part, attribute))


def _misspelt(hooks: pluggy.PluginManager, name: str, *, optional: bool) -> Iterator[str]:
    known = [hook for hook in vars(hooks.hook) if not hook.startswith("_")]
    if name not in known and not optional:
        yield f"there is no hook {name!r}{did_you_mean(name, known)}"


def _misfits(hooks: pluggy.PluginManager, name: str, implementation: Any) -> Iterator[str]:
    caller = getattr(hooks.hook, name, None)
    if caller is None or caller.spec is None:
        return
    for parameter in inspect.signature(implementation).parameters.values():
        passed = parameter.kind is parameter.POSITIONAL_OR_KEYWORD and parameter.default is parameter.empty
        if passed and parameter.name not in caller.spec.argnames:
            yield f"{name} has no argument {parameter.name!r}{did_you_mean(parameter.name, caller.spec.argnames)}"
