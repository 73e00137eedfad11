"""The best configurations of several rounds."""

from dataclasses import replace
from typing import Literal

import pytest

from hpsearch.trials import Trial, TrialState
from hpsearch.workflows.run import best_of_rounds
from tests.report.synthetic import SPEC, study_of


@pytest.mark.parametrize(("metric", "sign"), [("validation_accuracy", 1), ("validation_loss", -1)])
def test_a_configuration_is_among_the_best_once(
    metric: Literal["validation_accuracy", "validation_loss"], sign: int
) -> None:
    """A configuration trained in several rounds is listed once, with its best result, of equal ones the first."""

    def tried(number: int, rate: float, value: float) -> Trial:
        params = {"learning_rate": rate}
        return Trial(number=number, state=TrialState.COMPLETE, params=params, value=sign * value)

    first, second = (study_of(replace(SPEC, name=name, metric=metric)) for name in ("x", "x-round-2"))
    found = best_of_rounds(
        [
            (first, [tried(0, 0.1, 0.9), tried(1, 0.2, 0.8), *(tried(i, i, 0.01 * i) for i in range(2, 9))]),
            (second, [tried(0, 0.1, 0.9), tried(1, 0.2, 0.85), tried(2, 0.3, 0.7)]),
        ]
    )
    assert [
        (study.spec.name, trial.params["learning_rate"], sign * (trial.value or 0)) for study, trial in found
    ] == [
        ("x", 0.1, 0.9),
        ("x-round-2", 0.2, 0.85),
        ("x-round-2", 0.3, 0.7),
        ("x", 8, 0.08),
        ("x", 7, 0.07),
    ]
