"""What the database costs: `python -m tests.benchmarks.storage`."""
