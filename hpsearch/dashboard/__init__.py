"""Optuna's dashboard with additions: our pages take precedence, and guards check every request.

The flow of a request: `headers`, then the guards `hosts`, `tokens`, `origins`, `read_only` and `limits`, then `routes`
to our pages, or `stock`: Optuna's dashboard with the notes, figures and patches of `annotations`.
"""
