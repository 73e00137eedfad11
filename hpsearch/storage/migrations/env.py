"""What Alembic runs to reach the database: on the connection, and in the transaction, of `upgrade`."""

from alembic import context

from hpsearch.storage import schema

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=schema.metadata,
    version_table=schema.versions.name,
    render_as_batch=True,  # SQLite changes a table by making it anew
)
context.run_migrations()
