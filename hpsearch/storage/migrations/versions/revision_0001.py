"""The tables of hpsearch 0.1."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None

_KEY = sa.String(36)
_WORKER = sa.String(190)
_JSON = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
_BLOB = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
_OPTIONS: dict[str, Any] = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}


def upgrade() -> None:
    """Create all tables."""
    _make_studies()
    _make_trials()
    _make_details()
    _make_workers()


def _make_studies() -> None:
    op.create_table(
        "hpsearch_studies",
        sa.Column("study_key", _KEY, primary_key=True),
        sa.Column("study_id", sa.Integer, nullable=False),
        sa.Column("name", sa.String(512), nullable=False),
        sa.Column("spec", _JSON, nullable=False),
        sa.Column("fingerprint", sa.String(190), nullable=False),
        sa.Column("budget", sa.Integer, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("stopped", _JSON),
        sa.Column("hpsearch_version", sa.String(64), nullable=False),
        sa.Column("settled_trial_id", sa.Integer, nullable=False),
        sa.Column("settled_complete", sa.Integer, nullable=False),
        sa.Column("settled_pruned", sa.Integer, nullable=False),
        sa.Column("settled_failed", sa.Integer, nullable=False),
        **_OPTIONS,
    )


def _make_trials() -> None:
    op.create_table(
        "hpsearch_trials",
        sa.Column("study_key", _KEY, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("trial_id", sa.Integer, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("crashes", sa.Integer, nullable=False),
        sa.Column("token", sa.BigInteger, nullable=False),
        sa.Column("worker", _WORKER),
        sa.Column("lease_until", sa.Double),
        sa.Column("epochs", sa.Integer, nullable=False),
        sa.Column("steps", sa.BigInteger, nullable=False),
        sa.Column("reported", sa.Integer, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("verdict", sa.String(64)),
        sa.Column("finding", _JSON),
        **_OPTIONS,
    )
    leased = sa.text("lease_until IS NOT NULL")
    for name, owner in (("hpsearch_leases_of_study", "study_key"), ("hpsearch_leases_of_worker", "worker")):
        op.create_index(
            name, "hpsearch_trials", [owner, "lease_until"], sqlite_where=leased, postgresql_where=leased
        )


def _make_details() -> None:
    op.create_table(
        "hpsearch_attempts",
        sa.Column("study_key", _KEY, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("attempt", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("worker", _WORKER),
        sa.Column("why", _JSON, nullable=False),
        sa.Column("crashed", sa.Boolean, nullable=False),
        sa.Column("epochs", sa.Integer, nullable=False),
        sa.Column("ended", sa.Double, nullable=False),
        **_OPTIONS,
    )
    op.create_table(
        "hpsearch_series",
        sa.Column("study_key", _KEY, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("format", sa.Integer, nullable=False),
        sa.Column("payload", _BLOB, nullable=False),
        **_OPTIONS,
    )


def _make_workers() -> None:
    op.create_table(
        "hpsearch_workers",
        sa.Column("worker", _WORKER, primary_key=True),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("process_id", sa.Integer, nullable=False),
        sa.Column("hpsearch_version", sa.String(64), nullable=False),
        sa.Column("started", sa.Double, nullable=False),
        sa.Column("seen", sa.Double, nullable=False),
        sa.Column("should_stop", sa.Boolean, nullable=False),
        **_OPTIONS,
    )
