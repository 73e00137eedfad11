"""Earlier ranges of a study, the URLs and claims of its notifications, and the files of its data."""

from typing import Any, Literal

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0008"
down_revision = "0007"

_KEY = sa.String(36)
_JSON = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
_BLOB = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
_OPTIONS: dict[str, Any] = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}


def upgrade() -> None:
    """Create the new column and the new tables; those from an earlier run are unchanged."""
    _add_edits()
    _make_notifications()
    _make_data()


def _add_edits() -> None:
    columns = sa.inspect(op.get_bind()).get_columns("hpsearch_studies")
    if any(column["name"] == "edits" for column in columns):
        return
    # SQLite would write a new column after the keys, which is not its place in a new database.
    recreate: Literal["always", "never"] = "always" if op.get_bind().dialect.name == "sqlite" else "never"
    with op.batch_alter_table("hpsearch_studies", recreate=recreate) as altered:
        altered.add_column(sa.Column("edits", _JSON))


def _make_notifications() -> None:
    op.create_table(
        "hpsearch_notify",
        sa.Column("study_key", _KEY, primary_key=True),
        sa.Column("urls", _JSON, nullable=False),
        if_not_exists=True,
        **_OPTIONS,
    )
    op.create_table(
        "hpsearch_notifications",
        sa.Column("study_key", _KEY, primary_key=True),
        sa.Column("event", sa.String(32), primary_key=True),
        sa.Column("subject", sa.String(64), primary_key=True),
        sa.Column("claimed_until", sa.Double, nullable=False),
        sa.Column("sent", sa.Double),
        if_not_exists=True,
        **_OPTIONS,
    )


def _make_data() -> None:
    op.create_table(
        "hpsearch_data",
        sa.Column("study_key", _KEY, primary_key=True),
        sa.Column("file", sa.String(255), primary_key=True),
        sa.Column("part", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("digest", sa.String(64), nullable=False),
        if_not_exists=True,
        **_OPTIONS,
    )
    if not any(
        index["name"] == "hpsearch_parts_of_blob"
        for index in sa.inspect(op.get_bind()).get_indexes("hpsearch_data")
    ):
        op.create_index("hpsearch_parts_of_blob", "hpsearch_data", ["digest"])
    op.create_table(
        "hpsearch_blobs",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("payload", _BLOB, nullable=False),
        if_not_exists=True,
        **_OPTIONS,
    )
