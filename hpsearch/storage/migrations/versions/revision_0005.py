"""Epochs that attempts kept, engines of workers, edited ranges, notifications, and the files of data."""

from collections.abc import Mapping
from typing import Any, Literal

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0005"
down_revision = "0004"

_KEY = sa.String(36)
_JSON = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
_BLOB = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
_OPTIONS: dict[str, Any] = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}
_COLUMNS: Mapping[str, Mapping[str, Any]] = {
    "hpsearch_attempts": {"kept": sa.Integer()},
    "hpsearch_studies": {"edits": _JSON},
    "hpsearch_workers": {
        "engine": sa.String(32),
        "node": sa.String(255),
        "job": sa.String(190),
        "log": sa.String(1024),
        "problem": sa.String(1024),
    },
}
"""The new columns by table. Earlier rows have null in them."""


def upgrade() -> None:
    """Create the new columns and the new tables; those from an earlier run are unchanged."""
    for table, columns in _COLUMNS.items():
        _add_columns(table, columns)
    _make_notifications()
    _make_data()


def _add_columns(table: str, columns: Mapping[str, Any]) -> None:
    there = {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}
    missing = {name: kind for name, kind in columns.items() if name not in there}
    if not missing:
        return
    # SQLite would write a new column after the keys, which is not its place in a new database.
    recreate: Literal["always", "never"] = "always" if op.get_bind().dialect.name == "sqlite" else "never"
    with op.batch_alter_table(table, recreate=recreate) as altered:
        for name, kind in missing.items():
            altered.add_column(sa.Column(name, kind))


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
