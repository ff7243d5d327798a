"""What the door needs to know of the table from transaction type to handler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ..handlers import Handler
from .vetting import Vetter


class Table(Protocol):
    """The claims of the plugins that work in this process."""

    def resolve(self, type: str, /) -> Handler | None:
        """The handler of a type: the exact claim, or else the family's."""
        ...

    def types(self) -> Mapping[str, Handler]:
        """All claims, by type or family."""
        ...

    def parked(self, type: str, /) -> str | None:
        """Why the enabled plugin that claims a type is not working; none where there is no such plugin."""
        ...

    def vetters(self) -> Sequence[Vetter]:
        """What the plugins have to say about submissions, in the order in which they are asked."""
        ...
