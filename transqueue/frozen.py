"""Frozen values: what `@dataclass(frozen=True, slots=True)` makes of a class, in a third of the time.

dataclasses writes and compiles six functions for each class, and for our values together that took a sixth of the time
in which a process starts. Here only `__init__` is of each class's own; the others are one for all, and do the same.
Used where every process comes by; elsewhere, and for what this does not know (an order, fields that are not arguments),
a dataclass does as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field, fields
from operator import attrgetter
from typing import Any, dataclass_transform


@dataclass_transform(frozen_default=True, field_specifiers=(field, Field))
def frozen(cls: Any = None, /, *, slots: bool = True, kw_only: bool = False) -> Any:
    """Make a class of annotated fields a dataclass whose values cannot be changed."""
    if cls is None:
        return lambda cls: _made(cls, slots=slots, kw_only=kw_only)
    return _made(cls, slots=slots, kw_only=kw_only)


def _made(cls: Any, *, slots: bool, kw_only: bool) -> Any:
    own = vars(cls)
    made = dataclass(init=False, repr=False, eq=False, slots=slots, kw_only=kw_only)(cls)
    shared = {**_SHARED, **_SLOTTED} if slots else _SHARED
    for name, function in {"__init__": _init(made), **_comparing(made), **shared}.items():
        if name not in own:
            setattr(made, name, function)
    return made


def _init(made: Any) -> Callable[..., None]:
    """The one function that is written and compiled. It sets fields as dataclasses do: by `object.__setattr__`."""
    scope: dict[str, Any] = {"__name__": made.__module__, "_set": object.__setattr__, "_NEW": _NEW}
    arguments, lines = ["self"], ["pass"]
    for one in sorted(fields(made), key=lambda one: bool(one.kw_only)):
        if one.kw_only and "*" not in arguments:
            arguments.append("*")
        arguments.append(one.name + _default(one, scope))
        new = f"_new_{one.name}() if {one.name} is _NEW else " if one.default_factory is not MISSING else ""
        lines.append(f"_set(self, {one.name!r}, {new}{one.name})")
    if hasattr(made, "__post_init__"):
        lines.append("self.__post_init__()")
    exec(f"def __init__({', '.join(arguments)}):\n  " + "\n  ".join(lines), scope)  # noqa: S102  (as dataclasses does)
    init: Any = scope["__init__"]
    init.__qualname__ = f"{made.__qualname__}.__init__"
    init.__annotations__ = {**{one.name: one.type for one in fields(made)}, "return": None}
    return init  # type: ignore[no-any-return]


def _default(one: Field[Any], scope: dict[str, Any]) -> str:
    """What follows the name of an argument; its default is put into the function's scope."""
    if one.default_factory is not MISSING:
        scope[f"_new_{one.name}"] = one.default_factory
        return "=_NEW"
    if one.default is not MISSING:
        scope[f"_default_{one.name}"] = one.default
        return f"=_default_{one.name}"
    return ""


def _comparing(made: Any) -> Mapping[str, Any]:
    names = [one.name for one in fields(made) if one.compare]
    compared: Callable[[Any], Any] = attrgetter(*names) if names else lambda _: ()

    def equal(self: Any, other: object) -> Any:
        return compared(self) == compared(other) if other.__class__ is self.__class__ else NotImplemented

    def hashed(self: Any) -> int:
        return hash(compared(self))

    return {"__eq__": equal, "__hash__": hashed}


class _New:
    """Stands for a default that is made anew for each value."""

    def __repr__(self) -> str:
        return "<factory>"


_NEW = _New()


def _repr(self: Any) -> str:
    shown = ", ".join([f"{one.name}={getattr(self, one.name)!r}" for one in fields(self) if one.repr])
    return f"{type(self).__qualname__}({shown})"


def _setattr(self: Any, name: str, value: object) -> None:  # noqa: ARG001
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _delattr(self: Any, name: str) -> None:  # noqa: ARG001
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _getstate(self: Any) -> list[Any]:
    return [getattr(self, name) for name in self.__slots__]


def _setstate(self: Any, state: list[Any]) -> None:
    for name, value in zip(self.__slots__, state, strict=True):
        object.__setattr__(self, name, value)


_SHARED: Mapping[str, Any] = {
    "__repr__": _repr,
    "__setattr__": _setattr,
    "__delattr__": _delattr,
}
_SLOTTED: Mapping[str, Any] = {"__getstate__": _getstate, "__setstate__": _setstate}
