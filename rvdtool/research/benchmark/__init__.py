"""Compare methods on the same clips."""
