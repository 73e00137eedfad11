"""Optuna's dashboard with what it lacks: our pages before it, and guards before both.

The flow of a request: `headers`, then the guards `hosts`, `tokens`, `origins`, `read_only` and `limits`, then `routes`
to our pages, or `stock`: Optuna's dashboard with the notes, figures and cures of `annotations`.
"""
