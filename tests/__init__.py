"""Tests. A package, so that `python -m tests.benchmarks.engine` finds its way."""
