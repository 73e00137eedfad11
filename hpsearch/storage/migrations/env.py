"""Alembic's entry point to the database: uses the connection, and the transaction, of `upgrade`."""

from alembic import context

from hpsearch.storage import schema

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=schema.metadata,
    version_table=schema.versions.name,
    render_as_batch=True,  # SQLite changes a table by recreating it
)
context.run_migrations()
