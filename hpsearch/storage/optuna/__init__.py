"""The database as a storage for Optuna: read in increments into memory, written in bulk.

The flow: `storage` is the interface that Optuna calls; `trials` reads from and writes to `cache`, which holds what is
known of each study and what is to be written; `database`, `writes` and `studies` are the SQL.
"""
