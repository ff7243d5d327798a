"""The parts of the measurements, each a function from a stage and its sizes to rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from ..measure import Row
from ..stage import Stage


@dataclass(frozen=True, slots=True)
class Run:
    """How a part is to be run: on what, how often, how large, and where to tell what is going on."""

    stage: Stage
    rounds: int
    quick: bool
    scale: float
    tell: Callable[[str], None]

    def size(self, usual: int, quick: int) -> int:
        return quick if self.quick else max(quick, int(usual * self.scale))


Part = Callable[[Run], Iterator[Row]]
Parts = Mapping[str, Part]
