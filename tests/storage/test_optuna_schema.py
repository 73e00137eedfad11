"""Optuna's schema, as we declare it, is the one that the installed Optuna has.

When a test here fails, Optuna has changed its tables: read its newest migration (storages/_rdb/alembic/
versions), bring `optuna_schema` up to date, run the contract suite, and set `HEAD`.
"""

import math
from pathlib import Path

import optuna
import pytest
from optuna.storages._rdb import models
from sqlalchemy import Table

from hpsearch.storage import optuna_schema
from hpsearch.trials import TrialState

TABLES = [t for t in optuna_schema.metadata.sorted_tables if t is not optuna_schema.alembic_version]
TABLES.append(optuna_schema.version_info)


def test_the_head_is_optunas(tmp_path: Path) -> None:
    """The installed Optuna stamps new databases with the revision that we write for."""
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path / 'x.db'}")
    assert storage.get_head_version() == optuna_schema.HEAD
    storage.remove_session()
    storage.engine.dispose()


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_our_columns_are_optunas(table: Table) -> None:
    """Every column that we declare is Optuna's, with the same type, key and nullability."""
    theirs = models.BaseModel.metadata.tables[table.name]
    for column in table.columns:
        other = theirs.columns[column.name]
        assert str(column.type) == str(other.type)
        assert getattr(column.type, "enums", None) == getattr(other.type, "enums", None)
        assert getattr(column.type, "name", None) == getattr(other.type, "name", None)
        assert (column.primary_key, column.nullable) == (other.primary_key, other.nullable)


def test_no_column_that_optuna_needs_is_left_out() -> None:
    """Rows that we insert have every column that must not be null."""
    for table in TABLES:
        theirs = models.BaseModel.metadata.tables[table.name]
        needed = {c.name for c in theirs.columns if not c.nullable}
        assert needed - {c.name for c in table.columns} == set()


def test_every_table_of_optunas_is_known() -> None:
    """A table that is new in Optuna would keep rows of a study that we delete."""
    known = {table.name for table in TABLES}
    assert known == set(models.BaseModel.metadata.tables)


def test_details_are_all_that_refers_to_trials_and_studies() -> None:
    """Deleting a study goes through every table that has a column for its trials or itself."""
    of_trials = {t for t in TABLES if "trial_id" in t.columns and t is not optuna_schema.trials}
    of_studies = {t for t in TABLES if "study_id" in t.columns} - {
        optuna_schema.studies,
        optuna_schema.trials,
    }
    assert set(optuna_schema.TRIAL_DETAILS) == of_trials
    assert set(optuna_schema.STUDY_DETAILS) == of_studies


def test_states_have_optunas_names() -> None:
    """Each of our states is one of Optuna's, and none of Optuna's is unknown."""
    assert set(optuna_schema.STATES) == {state.name for state in optuna.trial.TrialState}
    assert set(optuna_schema.STATES.values()) == set(TrialState)


@pytest.mark.parametrize("number", [0.5, -0.0, math.inf, -math.inf, math.nan, 5e-324])
def test_numbers_are_stored_as_optuna_does(number: float) -> None:
    """Value and kind are those of Optuna's own models, and come back."""
    report = models.TrialIntermediateValueModel
    value, kind = optuna_schema.stored_number(number)
    their_value, their_kind = report.intermediate_value_to_stored_repr(number)
    assert (value, kind) == (their_value, their_kind.name)
    assert repr(optuna_schema.number_of(value, kind)) == repr(number)
