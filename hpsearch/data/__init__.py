"""Training data: sources, columns and their encoding, the split, scaling and the fingerprint."""
