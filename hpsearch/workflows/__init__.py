"""Use cases as functions: each takes values, reports its progress to a listener, and returns a record."""
