"""The kind of an unsuccessful attempt, the start of a worker's gapless heartbeats, and whether it has a parent."""

from typing import Any, Literal

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the new columns; those from an earlier run are unchanged. Older workers leave them null."""
    _add("hpsearch_attempts", sa.Column("kind", sa.String(16)))
    _add("hpsearch_workers", sa.Column("steady_since", sa.Double), sa.Column("has_parent", sa.Boolean))


def _add(table: str, *columns: sa.Column[Any]) -> None:
    there = {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}
    # SQLite would write a new column after the keys, which is not its place in a new database.
    recreate: Literal["always", "never"] = "always" if op.get_bind().dialect.name == "sqlite" else "never"
    with op.batch_alter_table(table, recreate=recreate) as altered:
        for column in columns:
            if column.name not in there:
                altered.add_column(column)
