"""The study's own metric of an evaluation, if it is neither loss nor accuracy."""

from typing import Literal

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_TABLE = "hpsearch_evaluations"


def upgrade() -> None:
    """Create the new column; one from an earlier run is unchanged. Earlier evaluations have null in it."""
    if any(column["name"] == "score" for column in sa.inspect(op.get_bind()).get_columns(_TABLE)):
        return
    # SQLite would write a new column after the keys, which is not its place in a new database.
    recreate: Literal["always", "never"] = "always" if op.get_bind().dialect.name == "sqlite" else "never"
    with op.batch_alter_table(_TABLE, recreate=recreate) as altered:
        altered.add_column(sa.Column("score", sa.Double))
