"""The plugins' hooks in pluggy: register one plugin, hold it to the page of hooks, call it alone.

A misspelt hook is an error here, not silence. Calls go to one plugin at a time, because in pluggy an exception in one
implementation stops those of the others.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Collection, Iterator
from types import ModuleType
from typing import Any

import pluggy

from .. import hookspecs
from ..config import did_you_mean
from ..errors import PluginBroken
from .isolation import isolated

PHASE = "hooks"
WRAPPED = "transqueue_run"  # the one hook that goes around the others' implementations
CURE = "Every hook, with its arguments, is in transqueue/hookspecs.py"


def new_hooks(page: ModuleType | type = hookspecs) -> pluggy.PluginManager:
    """An empty set of plugins that knows every hook of a page."""
    hooks = pluggy.PluginManager(hookspecs.PROJECT)
    hooks.add_hookspecs(page)
    return hooks


def register(hooks: pluggy.PluginManager, name: str, part: object) -> tuple[str, ...]:
    """Add what one plugin implements; what pluggy warns of: hooks and arguments of it that will go.

    Raises:
        PluginBroken: a hook of it is misspelt or takes a wrong argument; nothing of it was added.
    """
    with isolated(name, PHASE, CURE):
        mistakes = list(_mistakes(hooks, part))
        if mistakes:
            raise PluginBroken(name, PHASE, "; ".join(mistakes), CURE)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            hooks.register(part, name)
        return tuple(str(one.message) for one in caught)


def implements(hooks: pluggy.PluginManager, part: object, hook: str) -> bool:
    """Whether `part`, which is registered, implements the hook."""
    return any(caller.name == hook for caller in hooks.get_hookcallers(part) or ())


def caller(hooks: pluggy.PluginManager, parts: Collection[object], hook: str) -> Callable[..., list[Any]]:
    """What calls a hook of one plugin, which consists of `parts`, and of no other: its answers that are not None.

    It is for the set of plugins as it is now: one that is added later is called too.
    """
    others = [other for other in hooks.get_plugins() if not any(other is part for part in parts)]
    return hooks.subset_hook_caller(hook, others)


def _mistakes(hooks: pluggy.PluginManager, part: object) -> Iterator[str]:
    for attribute in dir(part):
        options = hooks.parse_hookimpl_opts(part, attribute)
        if options is not None:
            name = options.get("specname") or attribute
            yield from _misspelt(hooks, name, optional=bool(options.get("optionalhook")))
            yield from _misfits(hooks, name, getattr(part, attribute))
            yield from _unwrapped(name, wraps=bool(options.get("wrapper")))


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


def _unwrapped(name: str, *, wraps: bool) -> Iterator[str]:
    if name == WRAPPED and not wraps:
        yield f"{name} must be a wrapper: @hookimpl(wrapper=True), with one `yield` that runs the handler"
    if name != WRAPPED and wraps:
        yield f"{name} cannot be a wrapper: hooks are called one plugin at a time"
