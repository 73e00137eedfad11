"""The same search as programs of other libraries: ordinary ones, written as their documentation shows.

Each is a program of its own, `python -m tests.benchmarks.peers.NAME TASK RESULT`. None imports hpsearch, so that they
also run in an environment that has only their library.
"""
