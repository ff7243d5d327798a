"""The handler of `transqueue bench`, as a plain `transaction_module`: it does nothing."""

from __future__ import annotations

from typing import Any


def process(transaction: dict[str, Any]) -> None:
    """Do nothing."""
