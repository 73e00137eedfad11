"""The table of the best configurations."""

from dataclasses import replace

from hpsearch.analysis.snapshot import Snapshot
from hpsearch.report.best_table import best_table
from tests.report.synthetic import only_deaths, snapshot_of


def test_the_table_has_the_ten_best_in_order(study: Snapshot) -> None:
    """Ranks count from 1 and values never rise from row to row."""
    table = best_table(study)
    assert [row.rank for row in table.rows] == list(range(1, 11))
    values = [float(row.value) for row in table.rows]
    assert values == sorted(values, reverse=True)
    assert all(row.epochs == 20 and row.verdict == "healthy" for row in table.rows)


def test_losses_are_ranked_upwards(regression: Snapshot) -> None:
    """The best of a loss is the smallest."""
    values = [float(row.value) for row in best_table(regression).rows]
    assert values == sorted(values)


def test_columns_are_the_searched_dimensions(study: Snapshot) -> None:
    """Every searched dimension has a column, empty where a trial has no such parameter."""
    best = best_table(study).rows[0]
    trial = next(trial for trial in study.trials if trial.number == best.number)
    table = best_table(snapshot_of([replace(trial, params={"weight_decay": 9.5e-6, "momentum": 0.9})]))
    assert table.names == ("learning_rate", "weight_decay")
    assert table.rows[0].params == ("", "9.5e-06")


def test_deaths_have_no_rank() -> None:
    """Where nothing is complete the table is empty."""
    assert best_table(only_deaths()).rows == ()
