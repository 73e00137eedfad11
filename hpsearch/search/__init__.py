"""Optuna's samplers and pruners behind ask and verdict."""
