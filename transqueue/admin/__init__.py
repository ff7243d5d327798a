"""What an admin asks, is told and does, as values: whoever keeps them, and whoever shows them, speaks of the same."""
