"""Values that nobody can change and that cross process borders: mappings and lists as they came from a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class FrozenDict(dict[K, V]):
    """A dict that refuses every change, compares as a dict and can be pickled."""

    __slots__ = ()

    def _refuse(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise TypeError("the configuration is frozen: change config.yaml and start again")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickle would otherwise fill an empty one item by item, which is refused.
        return (type(self), (dict(self),))


def freeze(value: Any) -> Any:
    """The same value with every mapping a `FrozenDict`, every list a tuple, and every text a plain `str`."""
    match value:
        case Mapping():
            return FrozenDict({str(key): freeze(inner) for key, inner in value.items()})
        case list() | tuple():
            return tuple(freeze(inner) for inner in value)
        case str():
            return str(value)
        case _:
            return value
