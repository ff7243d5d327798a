"""Deposits and transfers: money in MongoDB, exact and exactly once."""

from __future__ import annotations

from .commands import transqueue_cli
from .deposits import deposit
from .transfers import transfer

__all__ = ["deposit", "transfer", "transqueue_cli"]
