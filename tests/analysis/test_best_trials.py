"""The lines and the table of the best trials."""

from dataclasses import replace

from hpsearch.analysis.best_trials import best_lines, best_table
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.trials import Trial, TrialState
from tests.report.synthetic import SPEC, only_deaths, snapshot_of, study_of

BEST = Trial(
    number=3,
    state=TrialState.COMPLETE,
    params={"weight_decay": 9.5123e-6, "learning_rate": 0.7912},
    value=0.98888,
    worker="node-1",
)


def test_the_best_line_is_the_one_of_the_readme() -> None:
    """The line has rank, metric, value and the parameters in the order of the study file."""
    lines = best_lines([BEST], study_of(SPEC))
    assert lines == ["Best-1 (val acc 0.989) | learning_rate 0.79, weight_decay 9.5e-06"]


def test_the_best_line_of_a_loss_has_four_digits() -> None:
    """A loss has 4 significant digits, and the smallest is first."""
    spec = replace(SPEC, metric="validation_loss")
    trials = [replace(BEST, number=i, value=value) for i, value in enumerate((0.5, 0.0123456))]
    lines = best_lines(trials, study_of(spec))
    assert [line.split(" | ")[0] for line in lines] == ["Best-1 (val loss 0.01235)", "Best-2 (val loss 0.5)"]


def test_the_number_of_best_lines_is_limited(study: Snapshot) -> None:
    """At most `count` lines are returned, and none if nothing is complete."""
    assert len(best_lines(study.trials, study.study)) == 5
    assert len(best_lines(study.trials, study.study, count=2)) == 2
    assert best_lines([replace(BEST, state=TrialState.PRUNED)], study.study) == []


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
    """Every searched dimension has a column, empty if a trial has no such parameter."""
    best = best_table(study).rows[0]
    trial = next(trial for trial in study.trials if trial.number == best.number)
    table = best_table(snapshot_of([replace(trial, params={"weight_decay": 9.5e-6, "momentum": 0.9})]))
    assert table.names == ("learning_rate", "weight_decay")
    assert table.rows[0].params == ("", "9.5e-06")


def test_deaths_have_no_rank() -> None:
    """If nothing is complete the table is empty."""
    assert best_table(only_deaths()).rows == ()
