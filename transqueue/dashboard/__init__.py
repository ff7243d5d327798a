"""The window: pages at /ui that show what runs, what waits and why, and let those who may act on it."""

from .dashboard import dashboard
from .window import Described, Window

__all__ = ["Described", "Window", "dashboard"]
