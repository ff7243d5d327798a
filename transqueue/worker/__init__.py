"""A worker: one process that leases transactions, executes them, and settles what came of them."""
