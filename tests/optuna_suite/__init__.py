"""Optuna's own tests, run with `open_storage`."""
