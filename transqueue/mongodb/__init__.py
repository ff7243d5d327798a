"""Q on MongoDB: the only package that speaks PyMongo."""

from .queue import MongoQueue, connect

__all__ = ["MongoQueue", "connect"]
