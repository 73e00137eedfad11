"""The database as a storage for Optuna: read in increments into memory, written in bulk.

The flow: `storage` is the interface that Optuna calls; `trials` reads from and writes to `cache`, which holds the known
state of each study and the pending writes; `database`, `writes` and `studies` are the SQL.
"""
