"""The results of each exact configuration."""

import math

import pytest

from hpsearch.analysis.configurations import configuration_rows, row_cells
from hpsearch.storage.records import StoredStudy
from hpsearch.study.configurations import params_of_trial
from hpsearch.study.reader import parse_study
from hpsearch.trials import Trial, TrialState
from hpsearch.verdicts import Cause
from tests.report.synthetic import finding, study_of


def exact_study(metric: str = "validation_accuracy") -> StoredStudy:
    """Return a study of two configurations."""
    text = (
        f'name = "x"\nmetric = "{metric}"\ndata.source = "digits"\n'
        '[[configurations]]\nname = "a"\nlearning_rate = 0.5\n[[configurations]]\nname = "b"\n'
    )
    return study_of(parse_study(text, source="x"))


def ended(study: StoredStudy, number: int, value: float | None) -> Trial:
    """Return a trial that is complete with `value`."""
    cause = Cause.HEALTHY if value is not None and math.isfinite(value) else Cause.DIVERGED_LR
    return Trial(
        number=number,
        state=TrialState.COMPLETE,
        params=params_of_trial(study.spec, number),
        value=value,
        finding=finding(cause),
    )


@pytest.mark.parametrize(("metric", "order"), [("validation_accuracy", "ba"), ("validation_loss", "ab")])
def test_rows_are_the_best_mean_first(metric: str, order: str) -> None:
    """Trials count for the configuration that their parameters are, and other trials for none."""
    study = exact_study(metric)
    trials = [ended(study, number, 0.1 * (number % 2) + 0.01 * number) for number in range(6)]
    stranger = Trial(number=6, state=TrialState.COMPLETE, params={"learning_rate": 0.123}, value=1.0)
    running = Trial(number=7, state=TrialState.RUNNING, params=params_of_trial(study.spec, 7))
    rows = configuration_rows(study, [*trials, stranger, running])
    assert "".join(row.name for row in rows) == order
    assert {row.name: row.ended for row in rows} == {"a": 3, "b": 3}
    means = {row.name: row.mean for row in rows}
    assert means == {"a": pytest.approx(0.02), "b": pytest.approx(0.13)}


def test_results_that_are_not_finite_are_counted_but_not_averaged() -> None:
    """A configuration whose trials all diverged is last, without a mean, with its verdicts."""
    study = exact_study("validation_loss")
    trials = [ended(study, 0, math.nan), ended(study, 2, None), ended(study, 1, 0.5)]
    good, lost = configuration_rows(study, trials)
    assert (good.name, good.values, good.interval) == ("b", (0.5,), None)
    assert (lost.mean, lost.values, lost.ended, dict(lost.verdicts)) == (None, (), 2, {"diverged_lr": 2})
    assert row_cells(lost, "validation_loss") == ("a", "", "", "", "0 of 2", "diverged_lr 2")


def test_the_interval_of_an_accuracy_stays_within_its_range() -> None:
    """No bound is below 0 or above 1."""
    study = exact_study()
    rows = configuration_rows(study, [ended(study, 0, 0.2), ended(study, 2, 0.9), ended(study, 1, 1.0)])
    (wide,) = [row for row in rows if row.name == "a"]
    assert wide.interval == (0.0, 1.0)
