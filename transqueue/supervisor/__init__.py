"""The supervisor: keeps the workers of one host alive and their leases renewed."""

from .supervisor import Neighbour, Supervisor

__all__ = ["Neighbour", "Supervisor"]
