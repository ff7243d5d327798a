"""The door: what takes transactions in over HTTP, and shows what became of them."""
