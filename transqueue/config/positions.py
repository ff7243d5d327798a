"""Where each key of config.yaml stands, kept with the values so that later findings can still name line and column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..errors import Problem
from .frozen import FrozenDict

Mark = tuple[int, int]

UNKNOWN: Mark = (0, 0)


@dataclass(frozen=True, slots=True)
class Positions:
    """1-based line and column of keys and of their values, by dotted path; the empty path is the file itself."""

    keys: Mapping[str, Mark] = field(default_factory=FrozenDict)
    values: Mapping[str, Mark] = field(default_factory=FrozenDict)

    def problem(self, path: str, message: str, *, of_key: bool = False) -> Problem:
        """A problem at the value of `path` (or at its key), or else at the nearest key above it that exists."""
        line, column = (None if of_key else self.values.get(path)) or self._nearest(path)
        return Problem(line, column, path, message)

    def _nearest(self, path: str) -> Mark:
        while path and path not in self.keys:
            path = path.rpartition(".")[0]
        return self.keys.get(path, UNKNOWN)
