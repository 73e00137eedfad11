"""The database: Optuna's tables and ours, claims, leases, bulk reads and writes."""
