"""Attempts inside the wrappers of `transqueue_run`: pluggy's own, around the one implementation that calls the handler.

Where no plugin wraps attempts, handlers are called as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pluggy

from ..handlers import Context, Handler
from ..hookspecs import hookimpl

HOOK = "transqueue_run"

Call = Callable[[Any, Context], Any]


class Running:
    """What is innermost in `transqueue_run`, once for all handlers of a process."""

    def __init__(self, hooks: pluggy.PluginManager) -> None:
        self._hooks = hooks
        self._calls: dict[str, Call] = {}

    def wrapped(self, handler: Handler, call: Call) -> Call:
        """What calls the handler inside the plugins' wrappers; the very `call` where there are none."""
        wrappers = [one for one in self._hooks.hook.transqueue_run.get_hookimpls() if one.plugin is not self]
        if not wrappers:
            return call
        if not self._hooks.is_registered(self):
            self._hooks.register(self, "transqueue")
        self._calls[handler.type] = call

        def run(transaction: Any, context: Context) -> Any:
            return self._hooks.hook.transqueue_run(transaction=transaction, handler=handler, context=context)

        return run

    @hookimpl(trylast=True)
    def transqueue_run(self, transaction: Any, handler: Handler, context: Context) -> Any:
        """Call the handler."""
        return self._calls[handler.type](transaction, context)
