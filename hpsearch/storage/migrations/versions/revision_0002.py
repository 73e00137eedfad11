"""Evaluations with fresh seeds, the sealed test's opening, a study's parent, and the start of a lost attempt."""

from typing import Any, Literal

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"

_KEY = sa.String(36)
_JSON = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
_OPTIONS: dict[str, Any] = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}


def upgrade() -> None:
    """Create the new table and the new columns; those from an earlier run are unchanged."""
    _add("hpsearch_studies", sa.Column("parent", _KEY), sa.Column("unsealing", _JSON))
    _add("hpsearch_attempts", sa.Column("started", sa.Double))
    op.create_table(
        "hpsearch_evaluations",
        sa.Column("study_key", _KEY, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("part", sa.String(16), primary_key=True),
        sa.Column("seed", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("loss", sa.Double),
        sa.Column("accuracy", sa.Double),
        sa.Column("made", sa.Double, nullable=False),
        if_not_exists=True,
        **_OPTIONS,
    )


def _add(table: str, *columns: sa.Column[Any]) -> None:
    there = {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}
    # SQLite would write a new column after the keys, which is not its place in a new database.
    recreate: Literal["always", "never"] = "always" if op.get_bind().dialect.name == "sqlite" else "never"
    with op.batch_alter_table(table, recreate=recreate) as altered:
        for column in columns:
            if column.name not in there:
                altered.add_column(column)
