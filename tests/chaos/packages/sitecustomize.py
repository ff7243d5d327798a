"""Loaded by every Python that the chaos run starts, before any client of MongoDB is made."""

from __future__ import annotations

import os

if os.environ.get("CHAOS_FOLDER"):
    import chaos_listener

    chaos_listener.register()

if os.environ.get("CHAOS_WITHOUT_ALARM"):
    from transqueue.process.lifeline import LeaseAlarm

    LeaseAlarm.set = lambda _self, _moment: None

if os.environ.get("CHAOS_MUTANT") == "no-fence":
    from transqueue.mongodb import settlements

    settlements.held = lambda ids, _token: {"_id": {"$in": list(ids)}}
