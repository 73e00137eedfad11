"""Optuna's public schema as SQLAlchemy Core tables, and the values of its columns.

Source: optuna 5.0, storages/_rdb/models.py, schema v3.2.0.a. Enumerations are stored by name; times are naive and in
UTC; a number that a FLOAT column cannot hold in every database is NULL with its kind in a second column. Declares the
tables as Optuna's `DECLARED_FOR` creates them, so that a new database needs none of its revisions (`migration`).
"""

import math
from typing import Final

from sqlalchemy import (
    CheckConstraint,
    Column,
    DateTime,
    Enum,
    Float,
    ForeignKey,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from hpsearch.trials import TrialState

HEAD: Final = "v3.2.0.a"
"""The revision of Optuna's schema that these tables describe."""

DECLARED_FOR: Final = "5.0.0"
"""The version of Optuna whose new tables were compared with these, on every database."""

ATTRIBUTE_LENGTH: Final = 512
"""Most characters of a study's name, an attribute's key or a parameter's name."""

WAITING: Final = "WAITING"
RUNNING: Final = "RUNNING"
COMPLETE: Final = "COMPLETE"
PRUNED: Final = "PRUNED"
FAIL: Final = "FAIL"

STATES: Final = {
    RUNNING: TrialState.RUNNING,
    COMPLETE: TrialState.COMPLETE,
    PRUNED: TrialState.PRUNED,
    FAIL: TrialState.FAILED,
    WAITING: TrialState.WAITING,
}
"""Optuna's name of a state -> ours."""

STATE_NAMES: Final = {state: name for name, state in STATES.items()}
"""Our state -> Optuna's name of it."""

metadata = MetaData()

_state = Enum(*STATES, name="trialstate")
_direction = Enum("NOT_SET", "MINIMIZE", "MAXIMIZE", name="studydirection")
_value_kind = Enum("FINITE", "INF_POS", "INF_NEG", name="trialvaluetype")
_report_kind = Enum("FINITE", "INF_POS", "INF_NEG", "NAN", name="trialintermediatevaluetype")
_name = String(ATTRIBUTE_LENGTH)
_double = Float(precision=53)

studies = Table(
    "studies",
    metadata,
    Column("study_id", Integer, primary_key=True),
    Column("study_name", _name, index=True, unique=True, nullable=False),
)

study_directions = Table(
    "study_directions",
    metadata,
    Column("study_direction_id", Integer, primary_key=True),
    Column("direction", _direction, nullable=False),
    Column("study_id", Integer, ForeignKey("studies.study_id"), nullable=False),
    Column("objective", Integer, nullable=False),
    UniqueConstraint("study_id", "objective"),
)

study_user_attributes = Table(
    "study_user_attributes",
    metadata,
    Column("study_user_attribute_id", Integer, primary_key=True),
    Column("study_id", Integer, ForeignKey("studies.study_id")),
    Column("key", _name),
    Column("value_json", Text),
    UniqueConstraint("study_id", "key"),
)

study_system_attributes = Table(
    "study_system_attributes",
    metadata,
    Column("study_system_attribute_id", Integer, primary_key=True),
    Column("study_id", Integer, ForeignKey("studies.study_id")),
    Column("key", _name),
    Column("value_json", Text),
    UniqueConstraint("study_id", "key"),
)

trials = Table(
    "trials",
    metadata,
    Column("trial_id", Integer, primary_key=True),
    Column("number", Integer),
    Column("study_id", Integer, ForeignKey("studies.study_id"), index=True),
    Column("state", _state, nullable=False),
    Column("datetime_start", DateTime),
    Column("datetime_complete", DateTime),
)

trial_user_attributes = Table(
    "trial_user_attributes",
    metadata,
    Column("trial_user_attribute_id", Integer, primary_key=True),
    Column("trial_id", Integer, ForeignKey("trials.trial_id")),
    Column("key", _name),
    Column("value_json", Text),
    UniqueConstraint("trial_id", "key"),
)

trial_system_attributes = Table(
    "trial_system_attributes",
    metadata,
    Column("trial_system_attribute_id", Integer, primary_key=True),
    Column("trial_id", Integer, ForeignKey("trials.trial_id")),
    Column("key", _name),
    Column("value_json", Text),
    UniqueConstraint("trial_id", "key"),
)

trial_params = Table(
    "trial_params",
    metadata,
    Column("param_id", Integer, primary_key=True),
    Column("trial_id", Integer, ForeignKey("trials.trial_id")),
    Column("param_name", _name),
    Column("param_value", _double),
    Column("distribution_json", Text),
    UniqueConstraint("trial_id", "param_name"),
)

trial_values = Table(
    "trial_values",
    metadata,
    Column("trial_value_id", Integer, primary_key=True),
    Column("trial_id", Integer, ForeignKey("trials.trial_id"), nullable=False),
    Column("objective", Integer, nullable=False),
    Column("value", _double),
    Column("value_type", _value_kind, nullable=False),
    UniqueConstraint("trial_id", "objective"),
)

trial_intermediate_values = Table(
    "trial_intermediate_values",
    metadata,
    Column("trial_intermediate_value_id", Integer, primary_key=True),
    Column("trial_id", Integer, ForeignKey("trials.trial_id"), nullable=False),
    Column("step", Integer, nullable=False),
    Column("intermediate_value", _double),
    Column("intermediate_value_type", _report_kind, nullable=False),
    UniqueConstraint("trial_id", "step"),
)

trial_heartbeats = Table(
    "trial_heartbeats",
    metadata,
    Column("trial_heartbeat_id", Integer, primary_key=True),
    Column("trial_id", Integer, ForeignKey("trials.trial_id"), nullable=False),
    Column("heartbeat", DateTime, nullable=False),
    UniqueConstraint("trial_id"),
)
"""The last heartbeat of a trial, by `CURRENT_TIMESTAMP` of the client's session: the only times here not in UTC."""

alembic_version = Table(
    "alembic_version",
    metadata,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)

version_info = Table(
    "version_info",
    MetaData(),
    Column("version_info_id", Integer, primary_key=True, autoincrement=False),
    Column("schema_version", Integer),
    Column("library_version", String(256)),
    CheckConstraint("version_info_id=1"),
)
"""One row: the Optuna version that last created or upgraded the tables."""

SCHEMA_VERSION: Final = 12
"""The value that Optuna writes into `version_info` since its tables have revisions (optuna 5.0, _rdb/models.py)."""

TRIAL_DETAILS: Final = (
    trial_user_attributes,
    trial_system_attributes,
    trial_params,
    trial_values,
    trial_intermediate_values,
    trial_heartbeats,
)
"""Tables whose rows belong to a trial, by `trial_id`."""

STUDY_DETAILS: Final = (study_directions, study_user_attributes, study_system_attributes)
"""Tables whose rows belong to a study, by `study_id`."""


def stored_number(number: float) -> tuple[float | None, str]:
    """Return the value and the kind under which Optuna stores `number`. NAN is for reports only."""
    if math.isnan(number):
        return None, "NAN"
    if math.isinf(number):
        return None, "INF_POS" if number > 0 else "INF_NEG"
    return number, "FINITE"


def number_of(value: float | None, kind: str) -> float:
    """Return the number that `stored_number` stored."""
    if kind == "FINITE" and value is not None:
        return value
    return {"NAN": math.nan, "INF_POS": math.inf, "INF_NEG": -math.inf}[kind]
