"""Plugins: found by metadata, loaded one at a time, kept apart; the table from type to handler."""
