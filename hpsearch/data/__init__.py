"""What to learn from: sources, the shuffled split, scaling and the fingerprint."""
