"""Other queues on the same work: each in an environment of its own, at durable settings, with two worker processes.

A job is `{"username": "user123", "value": 150.0}` and does nothing but append the time of its start to a file.
"""
