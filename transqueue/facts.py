"""The facts of what is being done here: they are on every line that is logged meanwhile, by whomever."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

# Asked for only when a line is written.
present: ContextVar[Callable[[], Mapping[str, Any]] | None] = ContextVar("transqueue_present", default=None)
