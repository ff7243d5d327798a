"""Webhooks: outcomes told by Standard Webhooks, signed, retried over days, and never to private addresses."""

from __future__ import annotations

from .commands import transqueue_cli
from .handlers import deliver, disable, outcome
from .hooks import (
    transqueue_before_enqueue,
    transqueue_config_schema,
    transqueue_health_checks,
    transqueue_options_schema,
)

__all__ = [
    "deliver",
    "disable",
    "outcome",
    "transqueue_before_enqueue",
    "transqueue_cli",
    "transqueue_config_schema",
    "transqueue_health_checks",
    "transqueue_options_schema",
]

transqueue_api = "1.0"
