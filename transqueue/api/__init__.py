"""The door: HTTP requests in, durable transactions and plain answers out."""
