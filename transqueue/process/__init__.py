"""What a process of ours asks of its system: signals, a lifeline, what it marks, and what it leaves behind."""
