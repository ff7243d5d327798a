"""The door: what takes transactions in over HTTP, and shows what became of them."""

from .app import create_app
from .server import serve

__all__ = ["create_app", "serve"]
