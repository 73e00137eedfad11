"""Optuna's samplers and pruners: suggest parameters, and judge running trials."""
