"""Measurements of TransQueue beside what MongoDB can do and what other queues do: `make bench`, docs/performance.md."""
