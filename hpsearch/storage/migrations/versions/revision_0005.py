"""The epochs of an unsuccessful attempt with which a later attempt at the trial went on."""

from typing import Literal

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_TABLE = "hpsearch_attempts"


def upgrade() -> None:
    """Create the new column; one from an earlier run is unchanged. Earlier attempts have null in it."""
    if any(column["name"] == "kept" for column in sa.inspect(op.get_bind()).get_columns(_TABLE)):
        return
    # SQLite would write a new column after the keys, which is not its place in a new database.
    recreate: Literal["always", "never"] = "always" if op.get_bind().dialect.name == "sqlite" else "never"
    with op.batch_alter_table(_TABLE, recreate=recreate) as altered:
        altered.add_column(sa.Column("kept", sa.Integer))
