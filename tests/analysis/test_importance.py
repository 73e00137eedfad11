"""The importance of parameters, of the survivors and of all trials."""

import math
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import rankdata

from hpsearch.analysis.importance import (
    FEWEST,
    MOST,
    Importance,
    counts_below_and_equal,
    explained,
    importance,
)
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.study.spec import Choices, DataSpec, Range, StudySpec
from hpsearch.trials import ParameterValue, Trial, TrialState
from hpsearch.verdicts import Cause
from tests.report.synthetic import SPECIAL, finding, snapshot_of, synthetic

SEARCH = (
    Range(name="learning_rate", low=1e-6, high=1.0, log=True),
    Range(name="model.dropout", low=0.0, high=0.5),
    Choices(name="model.activation", choices=("relu", "tanh")),
)
SPEC = StudySpec(
    name="x", data=DataSpec(source="digits"), search=SEARCH, metric="validation_accuracy", seed=11
)


def studied(
    value: Callable[[float, float, str], float],
    *,
    count: int = 200,
    dies: Callable[[float], bool] | None = None,
) -> Snapshot:
    """Return a study whose results are a function of the parameters; if `dies` returns True a trial diverged."""
    generator = np.random.default_rng(5)
    trials = []
    for number in range(count):
        rate, dropout = float(10 ** generator.uniform(-6, 0)), float(generator.uniform(0, 0.5))
        activation = ("relu", "tanh")[int(generator.integers(2))]
        is_dead = dies is not None and dies(rate)
        result = value(rate, dropout, activation) + 0.01 * float(generator.normal())
        trial = Trial(
            number=number,
            state=TrialState.PRUNED if is_dead else TrialState.COMPLETE,
            params={"learning_rate": rate, "model.dropout": dropout, "model.activation": activation},
            value=None if is_dead else result,
            curve={0: math.nan if is_dead else result},
            finding=finding(Cause.DIVERGED_LR if is_dead else Cause.HEALTHY),
        )
        trials.append(trial)
    return snapshot_of(trials, spec=SPEC)


def rows_of(snapshot: Snapshot, title: str) -> dict[str, Importance]:
    """Return the rows of one panel by parameter."""
    (panel,) = [panel for panel in importance(snapshot).panels if panel.title == title]
    return {row.name: row for row in panel.rows}


@pytest.mark.parametrize("values", [[], [2.0], [3, 1, 3, -math.inf, 1, 3, -math.inf], list(range(9, 0, -1))])
def test_ranks_are_those_of_scipy(values: list[float]) -> None:
    """Ranks with ties follow from the counts, to the last bit, as `scipy.stats.rankdata` gives them."""
    below, equal = counts_below_and_equal(np.array(values, np.float64))
    np.testing.assert_array_equal(below + (equal + 1) / 2, rankdata(values))
    np.testing.assert_array_equal(below + 1, rankdata(values, method="min"))


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_the_decisive_parameter_has_all_importance(kind: int) -> None:
    """The only parameter with an effect explains nearly everything, for every kind of dimension."""
    functions = [
        lambda rate, _dropout, _activation: math.log10(rate),
        lambda _rate, dropout, _activation: -20 * abs(dropout - 0.2),
        lambda _rate, _dropout, activation: 5.0 * (activation == "tanh"),
    ]
    rows = rows_of(studied(functions[kind]), "all trials")
    names = [dimension.name for dimension in SEARCH]
    # Half of the ranks' variance lies within two classes of equals.
    assert rows[names[kind]].share > (0.7 if kind == 2 else 0.9)
    for name in {*names} - {names[kind]}:
        assert rows[name].share < 0.1
        assert rows[name].low == 0
    assert next(iter(rows)) == names[kind]


def test_survivors_and_all_trials_need_not_agree() -> None:
    """If a high learning rate kills and dropout decides among the living, each has its own most important one."""
    snapshot = studied(lambda _rate, dropout, _: -4 * dropout, dies=lambda rate: rate > 1e-3)
    survivors, everybody = rows_of(snapshot, "survivors"), rows_of(snapshot, "all trials")
    assert survivors["model.dropout"].share > 0.9
    assert survivors["learning_rate"].share < 0.1
    assert everybody["learning_rate"].share > 0.5 > everybody["model.dropout"].share


def test_a_loss_is_as_important_upside_down() -> None:
    """Ranks, and so importances, are the same for a metric that is minimized; every interval holds its share."""
    upright = studied(lambda rate, dropout, _: math.log10(rate) + dropout, dies=lambda rate: rate > 0.1)
    losses = [
        trial if trial.value is None else replace(trial, value=-trial.value) for trial in upright.trials
    ]
    turned = snapshot_of(losses, spec=replace(SPEC, metric="validation_loss"))
    for title in ("survivors", "all trials"):
        rows = rows_of(upright, title)
        assert rows == rows_of(turned, title)
        assert all(0 <= row.low <= row.share <= row.high <= 1 for row in rows.values())


def test_groups_that_explain_nothing_get_next_to_nothing() -> None:
    """On average over many draws the share is near 0, because it is corrected for chance."""
    generator = np.random.default_rng(2)
    shares = [
        float(explained(generator.permutation(60).astype(np.float64), np.arange(60) % 6, np.ones((1, 60)))[0])
        for _ in range(200)
    ]
    # Without the correction the mean would be (k - 1) / (n - 1) = 0.085; what is cut off below 0 leaves 0.03.
    assert np.mean(shares) < 0.05


def test_the_correction_is_kelleys() -> None:
    """The share is that of a one-way analysis of variance by hand: ranks 1..4 in two groups of two."""
    ranks = np.array([1.0, 2.0, 3.0, 4.0])
    # within 0.5 + 0.5 over 2, total 5 over 3
    assert explained(ranks, np.array([0, 0, 1, 1]), np.ones((1, 4)))[0] == pytest.approx(1 - 0.5 / (5 / 3))
    # A resample that has the third trial twice and not the fourth: within 0.5 + 0 over 2, total 2.75 over 3.
    drawn = explained(ranks, np.array([0, 0, 1, 1]), np.array([[1.0, 1.0, 2.0, 0.0]]))[0]
    assert drawn == pytest.approx(1 - 0.25 / (2.75 / 3))


def test_the_same_study_has_the_same_intervals(study: Snapshot) -> None:
    """The bootstrap is seeded by the study."""
    assert importance(study) == importance(study)


def test_too_few_trials_are_stated() -> None:
    """Below twenty trials there is no panel, and the sentence has their number."""
    data = importance(studied(lambda rate, _dropout, _activation: rate, count=FEWEST - 1))
    assert data.panels == ()
    assert "too few, 19 of at least 20" in data.caption
    mixed = studied(lambda rate, _dropout, _activation: rate, count=60, dies=lambda rate: rate > 1e-5)
    assert [panel.title for panel in importance(mixed).panels] == ["all trials"]
    assert "Not estimated for survivors" in importance(mixed).caption


@pytest.mark.parametrize(
    ("name", "words"), [("one dimension", "searches only learning_rate"), ("no search", "searches nothing")]
)
def test_one_parameter_has_no_importance(name: str, words: str) -> None:
    """With a single parameter there is nothing to compare it with."""
    data = importance(SPECIAL[name]())
    assert data.panels == ()
    assert words in data.caption


def test_equal_results_have_no_importance() -> None:
    """If all trials died the ranks are equal, and the text states that."""
    data = importance(studied(lambda rate, _dropout, _activation: rate, dies=lambda _: True))
    assert data.panels == ()
    assert "all trials: all 200 have the same result" in data.caption


def test_many_trials_are_thinned_and_take_little_time() -> None:
    """Of more than 5,000 trials a sample is used, as the caption states, in less than two seconds."""
    snapshot = synthetic(MOST + 1000)
    begin = time.process_time()
    data = importance(snapshot)
    assert time.process_time() - begin < 2
    assert data.panels[-1].trials == MOST
    assert f"{MOST:,} of 5,991 trials were used" in data.caption


def test_a_parameter_that_some_trials_lack_is_judged_by_the_others() -> None:
    """A conditional parameter keeps its importance among the trials that have it, and few of them give none."""
    whole = studied(lambda _rate, dropout, _: -20 * abs(dropout - 0.2))
    partly = [
        trial
        if trial.params["model.activation"] == "relu"
        else replace(trial, params=without(trial, "model.dropout"))
        for trial in whole.trials
    ]
    rows = rows_of(snapshot_of(partly, spec=SPEC), "all trials")
    assert rows["model.dropout"].share > 0.9
    assert "not all trials have" in importance(snapshot_of(partly, spec=SPEC)).caption
    few = [
        trial if trial.number < FEWEST - 1 else replace(trial, params=without(trial, "model.dropout"))
        for trial in whole.trials
    ]
    assert set(rows_of(snapshot_of(few, spec=SPEC), "all trials")) == {"learning_rate", "model.activation"}


def without(trial: Trial, name: str) -> dict[str, ParameterValue]:
    """Return a trial's parameters without one of them."""
    return {key: value for key, value in trial.params.items() if key != name}
