"""What a front process serves next, when it is told by a SIGHUP, and where it tells how that ended."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from ..admin.part import Reload
from .loading import Loader


@dataclass(frozen=True, slots=True)
class Renewal:
    """What is to be served instead.

    Attributes:
        tolerated: plugins that are broken already: they are no reason to go on with the old.
    """

    loader: Loader
    tolerated: Collection[str] = ()


class Renewals(Protocol):
    """Where a front process gets what to serve next."""

    def next(self, interrupted: Callable[[], bool]) -> Renewal | None:
        """What to serve from now on; none: nothing was asked for.

        Raises:
            ReloadRefused: there is nothing better than what is served now.
        """
        ...

    def tell(self, reload: Reload) -> None:
        """How it ended."""
        ...
