"""A worker: one process that leases transactions, executes them, and settles what came of them."""

from .process import EXIT_BOOT_FAILED, EXIT_TRACK_LOST, Assignment, alarm_moment, work

__all__ = ["EXIT_BOOT_FAILED", "EXIT_TRACK_LOST", "Assignment", "alarm_moment", "work"]
