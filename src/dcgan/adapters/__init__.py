"""The outside world, one tool per file; adapters do not know each other."""
