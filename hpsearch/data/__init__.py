"""Training data: sources, the shuffled split, scaling and the fingerprint."""
