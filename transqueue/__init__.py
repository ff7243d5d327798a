"""TransQueue: transactions over HTTP, kept in MongoDB, processed by plugins, their effects exactly once.

This is all that a plugin imports, with `transqueue.testing`.
"""

from .draft import Draft
from .events import Event
from .handlers import Context, Handler, handler
from .hookspecs import API_VERSION, Check, hookimpl
from .outcome import Reject, RetryLater
from .transaction import Transaction

__all__ = [
    "API_VERSION",
    "Check",
    "Context",
    "Draft",
    "Event",
    "Handler",
    "Reject",
    "RetryLater",
    "Transaction",
    "handler",
    "hookimpl",
]
__version__ = "0.1.0"
