"""Where an engine placed a worker, its log, and why a worker takes no more work."""

from typing import Literal

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0005"

_TABLE = "hpsearch_workers"
_COLUMNS = {"engine": 32, "node": 255, "job": 190, "log": 1024, "problem": 1024}
"""Columns of text -> most characters."""


def upgrade() -> None:
    """Create the new columns; those from an earlier run are unchanged. Older workers leave them null."""
    there = {column["name"] for column in sa.inspect(op.get_bind()).get_columns(_TABLE)}
    # SQLite would write a new column after the keys, which is not its place in a new database.
    recreate: Literal["always", "never"] = "always" if op.get_bind().dialect.name == "sqlite" else "never"
    with op.batch_alter_table(_TABLE, recreate=recreate) as altered:
        for name, most in _COLUMNS.items():
            if name not in there:
                altered.add_column(sa.Column(name, sa.String(most)))
