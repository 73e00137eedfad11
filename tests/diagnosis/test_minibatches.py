"""Small minibatches: networks that learn on them are neither stopped nor called ill."""

from dataclasses import replace

import pytest

from hpsearch.data.description import facts_of
from hpsearch.diagnosis.facts import TrialFacts
from hpsearch.diagnosis.verdicts import judge
from hpsearch.study.spec import Configuration, Initializer, ModelSpec, TrainingSpec
from hpsearch.training.cohort import Cohort
from hpsearch.training.loop import train_to_end
from hpsearch.training.row import shape_of
from hpsearch.verdicts import Cause
from tests.benchmarks.diagnosis import minibatches
from tests.benchmarks.diagnosis.data_sets import prepared
from tests.benchmarks.diagnosis.minibatches import SEED, Judgement, Plan, judged, lines, runs_of


def plan(data: str, *, batch_size: int) -> Plan:
    """Return a plan of a small ReLU network with Adam."""
    return Plan(data=data, hidden=(8,), activation="relu", optimizer="adam", batch_size=batch_size)


@pytest.fixture(scope="module")
def switches() -> list[Judgement]:
    """Return a search on two switches, a quarter of whose inputs are 0, with minibatches of one."""
    return judged(runs_of(plan("switches", batch_size=1), seed=SEED, is_held_out=False))


def test_no_good_trial_is_stopped_on_minibatches_of_one(switches: list[Judgement]) -> None:
    """An example of zeros has a gradient of 0, and proves nothing about the units."""
    good = [one for one in switches if one.is_good]
    assert len(good) > 3
    assert [one.stopped for one in good if one.stopped is not None] == []
    assert not {Cause.BORN_DEAD, Cause.DEAD_RELU_TOTAL} & {one.said for one in good}


def test_the_table_counts_every_trial_once(switches: list[Judgement]) -> None:
    """Each line counts the trials of its minibatch size, and the last all of them."""
    table = [line.split("|") for line in lines(switches) if line.startswith("| ")][2:]
    counts = {row[1].strip(): int(row[2]) for row in table}
    assert counts == {"1": 16, "2": 0, "4": 0, "8": 0, "16": 0, "32": 0, "all": 16}


def test_tuning_and_held_out_plans_share_no_data_and_network() -> None:
    """What is scored is none of what thresholds were tuned on; every minibatch size has plans."""
    sides = [
        {(one.data, one.hidden, one.activation) for one in minibatches.plans(is_held_out=side)}
        for side in (True, False)
    ]
    assert not sides[0] & sides[1]
    for side in (True, False):
        sizes = {one.batch_size for one in minibatches.plans(is_held_out=side)}
        assert sizes == set(minibatches.BATCH_SIZES)


def test_answers_of_few_examples_are_not_all_answers() -> None:
    """A network that is right for four of five passengers gives no single answer, whatever one passenger gets."""
    chosen = replace(plan("passengers", batch_size=1), hidden=(16, 8))
    good = [one for one in judged(runs_of(chosen, seed=SEED, is_held_out=False)) if one.is_good]
    assert good
    assert Cause.COLLAPSED_OUTPUT not in {one.said for one in good}
    assert not {one.stopped for one in good} & {Cause.LR_TOO_LOW, Cause.DEAD_RELU_TOTAL}


def test_a_rare_class_that_is_found_is_no_collapse() -> None:
    """One example in thirty is of the other class, and a network that finds half of them is no constant one."""
    chosen = replace(plan("rare", batch_size=16), hidden=(16, 8))
    good = [one for one in judged(runs_of(chosen, seed=SEED, is_held_out=False)) if one.is_good]
    assert good
    assert Cause.COLLAPSED_OUTPUT not in {one.said for one in good}


def test_a_linear_model_at_its_optimum_needs_no_hidden_layers() -> None:
    """The loss of a noisy line ends at the variance of the noise: nothing is to be fixed."""
    data = prepared("noisy_teacher", "standard", SEED)
    configuration = Configuration(
        model=ModelSpec(hidden=(), loss="mse", initializer=Initializer(name="xavier")),
        training=TrainingSpec(epochs=30, batch_size=16, learning_rate=0.01),
    )
    cohort = Cohort(shape_of(configuration), data, capacity=1, seed=SEED)
    (end,) = train_to_end(cohort, {0: configuration})
    known = TrialFacts(
        configuration=configuration, data=facts_of(data), steps_per_epoch=cohort.steps_per_epoch
    )
    assert judge(end.telemetry, known).cause is Cause.HEALTHY
