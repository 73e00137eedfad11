"""The database as a storage for Optuna: read in increments into memory, written in bulk.

The flow: `storage` is the interface that Optuna calls; `trials` keeps what is known of each study (`picture`)
and what is to be written; `reading`, `writing` and `studies` are the SQL; `connection` is the way to the database.
"""
