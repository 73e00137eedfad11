"""Interruptions: a cohort stops within one step or one pass of a validation, and continues unchanged."""

from collections.abc import Callable

import numpy as np
import pytest

from hpsearch.nn.arrays import Array
from hpsearch.telemetry import Telemetry
from hpsearch.training.cohort import Cohort
from hpsearch.training.evaluation import EVALUATION_EXAMPLES
from tests.training.cases import classification, cohort_of, configuration

PASSES = 3
DATA = classification(training=50, validation=PASSES * EVALUATION_EXAMPLES)
CHOSEN = [configuration(epochs=2, batch_size=10, learning_rate=rate) for rate in (0.1, 0.3, 1e30)]
STEPS_PER_EPOCH = 5


def trained(
    cohort: Cohort, is_interrupted: Callable[[], bool]
) -> tuple[dict[int, tuple[Telemetry, Array]], int]:
    """Return each trial's telemetry and parameters at its end, and how often the cohort returned nothing."""
    ends = {}
    nothing = 0
    while cohort.numbers:
        observations = cohort.advance(is_interrupted=is_interrupted)
        nothing += not observations
        for observation in observations:
            if observation.is_finished:
                ends[observation.number] = observation.telemetry, cohort.parameters(observation.number)
                cohort.leave(observation.number)
    return ends, nothing


def test_interruptions_change_no_number() -> None:
    """A cohort that is interrupted repeatedly, anywhere, gives each trial the same telemetry and weights."""
    expected, nothing = trained(cohort_of(DATA, CHOSEN), lambda: False)
    assert nothing == 0
    chance = np.random.default_rng(1)
    interrupted, nothing = trained(cohort_of(DATA, CHOSEN), lambda: bool(chance.random() < 0.3))
    assert nothing > 5
    for number, (telemetry, parameters) in expected.items():
        # NaN is equal to itself here, as text.
        assert repr(interrupted[number][0]) == repr(telemetry)
        np.testing.assert_array_equal(interrupted[number][1], parameters)


@pytest.mark.parametrize("count", range(PASSES))
def test_a_validation_stops_between_two_passes(count: int) -> None:
    """The cohort returns at most one pass after the request, without closing an epoch."""
    cohort = cohort_of(DATA, CHOSEN[:2])
    rows = cohort._rows
    while rows[0].age < STEPS_PER_EPOCH - 1:
        cohort._step()
    asked = []

    def is_interrupted() -> bool:
        # Once for the step, then before every pass.
        asked.append(rows[0].age)
        return len(asked) == 2 + count

    assert cohort.advance(is_interrupted=is_interrupted) == []
    assert asked == [STEPS_PER_EPOCH - 1, *[STEPS_PER_EPOCH] * (1 + count)]
    assert [len(row.epochs) for row in rows] == [0, 0]
    # The step is not taken again, its validation is.
    assert [observation.ended_epoch for observation in cohort.advance()] == [True, True]
    assert [(row.age, len(row.epochs)) for row in rows] == [(STEPS_PER_EPOCH, 1)] * 2


def test_trials_may_leave_and_join_during_a_validation() -> None:
    """A trial that leaves during its validation is gone, and one that joins starts at its first step."""
    cohort = cohort_of(DATA, CHOSEN[:2], capacity=2)
    while cohort._rows[0].age < STEPS_PER_EPOCH - 1:
        cohort._step()
    answers = iter([False, True])
    assert cohort.advance(is_interrupted=lambda: next(answers)) == []
    cohort.leave(0)
    cohort.join(7, CHOSEN[0])
    (observation,) = cohort.advance()
    assert (observation.number, observation.ended_epoch) == (1, True)
    assert [(row.number, row.age) for row in cohort._rows] == [(1, STEPS_PER_EPOCH), (7, 0)]
