"""The learning-rate range test, and the remedies that take their rate from it."""

import math
from typing import Any

import pytest

from hpsearch.data.description import facts_of
from hpsearch.diagnosis.facts import facts_about
from hpsearch.study.spec import DataSpec, ModelSpec, StudySpec, TrainingSpec, configure
from hpsearch.trials import ParameterValue
from hpsearch.verdicts import Cause, Finding, Verdict
from hpsearch.worker.preparation import PreparedStudy, prepare_study
from hpsearch.worker.range_test import RATES, RangeTest, range_test
from hpsearch.worker.trial_diagnosis import with_tested_rate


def study(*, hidden: tuple[int, ...] = (8,), **training: Any) -> PreparedStudy:
    """Return a study of iris that searches nothing."""
    values = {"batch_size": 10, "epochs": 10} | training
    return prepare_study(
        StudySpec(
            name="x",
            data=DataSpec(source="iris", scale="standard"),
            model=ModelSpec(hidden=hidden),
            training=TrainingSpec(**values),
            search=(),
        )
    )


def falls(**good: float) -> RangeTest:
    """Return a test in which the named rates (`r0_1` is 0.1) lower the loss, and no other."""
    named = {float(name[1:].replace("_", ".")): fall for name, fall in good.items()}
    return RangeTest(falls=tuple(named.get(rate, -math.inf) for rate in RATES))


def test_the_middle_of_the_good_rates_is_best() -> None:
    """Neighbours of the best rate that lower the loss nearly as much count; others do not."""
    test = falls(r0_01=0.8, r0_02=0.5, r0_05=0.75, r0_1=0.85, r0_2=0.9, r0_5=0.3)
    assert (test.largest_fall, test.best) == (0.9, 0.1)
    assert [test.suits(rate) for rate in (0.01, 0.021, 0.2, 0.5, 30.0)] == [True, True, True, False, False]


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_rates_of_a_real_network(optimizer: str) -> None:
    """Tiny rates learn nothing, huge ones diverge, and the suggested one learns; it does not depend on chance."""
    test = range_test(study(optimizer=optimizer))
    assert test is not None
    assert test == range_test(study(optimizer=optimizer))
    assert len(test.falls) == len(RATES)
    assert abs(test.falls[0]) < 0.05
    assert not test.suits(RATES[0])
    assert not test.suits(RATES[-1])
    assert test.falls[RATES.index(test.best)] > 0.5


def test_nothing_is_suggested_if_nothing_learns() -> None:
    """Inputs that are all the same distinguish no flowers."""
    prepared = study()
    prepared.data.training.inputs[:] = 0
    prepared.data.validation.inputs[:] = 0
    test = range_test(prepared)
    assert test is None or test.largest_fall < 0.1


def finding(cause: Cause, remedy: str, **suggested: ParameterValue) -> Finding:
    """Return a finding with that remedy."""
    return Finding(cause=cause, confidence=0.9, first_step=0, evidence={}, remedy=remedy, suggested=suggested)


def with_rate(prepared: PreparedStudy, *findings: Finding) -> Verdict:
    """Return the verdict with tested rates."""
    facts = facts_about(prepared.spec, facts_of(prepared.data), configure(prepared.spec, {}))
    return with_tested_rate(Verdict(findings=findings), prepared, facts)


def test_a_remedy_takes_the_tested_rate() -> None:
    """Its words stay if they go the same way, and change if the test goes the other one."""
    prepared = study(learning_rate=30.0)
    test = range_test(prepared)
    assert test is not None
    words = "Lower the learning rate from 30 to {}, or try another."
    lower, raised, other = with_rate(
        prepared,
        finding(Cause.DIVERGED_LR, words.format(3), learning_rate=3.0),
        finding(Cause.LR_TOO_LOW, "Raise the learning rate from 30 to about 300.", learning_rate=300.0),
        finding(Cause.SATURATED, "Use he.", **{"model.initializer": "he"}),
    ).findings
    assert lower.remedy == words.format(f"{test.best:g}")
    assert raised.remedy == f"Lower the learning rate from 30 to {test.best:g}."
    assert lower.suggested == raised.suggested == {"learning_rate": test.best}
    assert other.remedy == "Use he."


def test_a_suitable_rate_keeps_its_verdict() -> None:
    """If the test finds nothing wrong with the rate, or the remedy is another setting, the verdict is unchanged."""
    late = finding(Cause.LR_TOO_HIGH, "Lower the learning rate from 0.1 to 0.01.", learning_rate=0.01)
    assert with_rate(study(learning_rate=0.1), late).findings == (late,)
    other = finding(Cause.SATURATED, "Use he.", **{"model.initializer": "he"})
    assert with_rate(study(learning_rate=30.0), other).findings == (other,)


def test_an_open_verdict_gets_a_faster_rate() -> None:
    """A run without enough evidence is trained longer, or faster."""
    unknown = finding(Cause.INCONCLUSIVE, "Train for more steps to decide.")
    (found,) = with_rate(study(learning_rate=1e-6), unknown).findings
    assert found.cause is Cause.INCONCLUSIVE
    assert found.remedy.startswith("Train for more steps, or raise the learning rate from 1e-06 to ")
    assert found.suggested.keys() == {"learning_rate"}
    assert with_rate(study(learning_rate=0.1), unknown).findings == (unknown,)
