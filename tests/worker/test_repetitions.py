"""Fresh seeds, their effects, and a stop that loses only the cohort in training."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpsearch.data.dataset import RawData
from hpsearch.errors import DataError, StudyFileError
from hpsearch.objective.children import Children
from hpsearch.objective.trial import ObjectiveTrial
from hpsearch.storage.records import Evaluation, Part
from hpsearch.study.spec import DataSpec, ObjectiveSpec, PruningSpec, TrainingSpec
from hpsearch.trials import ParameterValue
from hpsearch.worker.preparation import PreparedStudy, prepare_study
from hpsearch.worker.repetitions import fresh_seeds, repetitions, train, train_function
from hpsearch.worker.shutdown import StopRequest
from tests.worker.bench import SPEC, Bench

TRIALS: dict[int, dict[str, ParameterValue]] = {
    3: {"learning_rate": 0.1, "weight_decay": 1e-4},
    5: {"learning_rate": 0.5, "weight_decay": 1e-6},
    8: {"learning_rate": 0.05, "model.activation": "tanh"},
}


@pytest.fixture(scope="module")
def study() -> PreparedStudy:
    """Return iris with a test part."""
    return prepare_study(replace(SPEC, data=DataSpec(source="iris", test_fraction=0.2)))


def numbers_of(one: Evaluation) -> tuple[object, ...]:
    """Return all fields except the time."""
    return one.number, one.part, one.seed, one.loss, one.accuracy


def trained(
    study: PreparedStudy, *, rows: int = 5, seeds: tuple[int, ...] = (11, 12)
) -> set[tuple[object, ...]]:
    """Return the results of all trials with all seeds."""
    planned = repetitions(study, TRIALS, {seed: list(TRIALS) for seed in seeds}, rows=rows)
    batches = train(study, planned, part="validation", stop=StopRequest())
    return {numbers_of(one) for batch in batches for one in batch}


def test_more_seeds_begin_with_the_same_ones() -> None:
    """A later request for more seeds keeps the trained ones; the test part has other seeds than validation."""
    assert fresh_seeds(7, "validation", 5) == fresh_seeds(7, "validation", 9)[:5]
    drawn = [
        *fresh_seeds(7, "validation", 500),
        *fresh_seeds(7, "test", 500),
        *fresh_seeds(8, "test", 500),
        7,
        8,
    ]
    assert len(set(drawn)) == len(drawn)


def test_with_the_studys_seed_it_repeats_the_trial(tmp_path: Path) -> None:
    """An evaluation trains exactly as the search does: only the seed makes the difference."""
    spec = replace(SPEC, trials=6, pruning=PruningSpec(diagnosis=False, rank="none"))
    bench = Bench(f"sqlite:///{tmp_path}/search.db", spec)
    bench.worker("a").run()
    study = prepare_study(spec)
    found = {trial.number: trial for trial in bench.trials() if trial.is_ranked}
    params = {number: trial.params for number, trial in found.items()}
    for seed, same in ((spec.seed, True), (spec.seed + 1, False)):
        planned = repetitions(study, params, {seed: list(params)}, rows=4)
        batches = train(study, planned, part="validation", stop=StopRequest())
        values = {one.number: one.accuracy for batch in batches for one in batch}
        assert (values == {number: trial.value for number, trial in found.items()}) is same
    bench.close()


def test_validation_chooses_the_epoch_that_the_test_part_measures(study: PreparedStudy) -> None:
    """With the best epoch kept, the test part has the result of the epoch that validation prefers, not of its own."""
    spec = replace(study.spec, metric="validation_loss")

    def measured(part: Part, **training: Any) -> Evaluation:
        changed = replace(spec, training=replace(spec.training, learning_rate=5.0, **training))
        planned = repetitions(PreparedStudy(spec=changed, data=study.data), {3: {}}, {11: [3]}, rows=1)
        ((one,),) = train(
            PreparedStudy(spec=changed, data=study.data), planned, part=part, stop=StopRequest()
        )
        return one

    losses = {epochs: measured("validation", epochs=epochs).loss or 0.0 for epochs in range(1, 9)}
    best = min(losses, key=losses.__getitem__)
    assert best < 8, "the test needs a best epoch before the last"
    assert measured("validation", epochs=8, keep="best").loss == losses[best]
    kept, expected = measured("test", epochs=8, keep="best"), measured("test", epochs=best)
    assert numbers_of(kept) == numbers_of(expected)
    assert numbers_of(kept) != numbers_of(measured("test", epochs=8))


def test_evaluations_do_not_depend_on_the_cohort(study: PreparedStudy) -> None:
    """Alone or in one cohort, each trial with each seed has bit-identical results, and none is missing."""
    together = trained(study)
    assert together == trained(study, rows=1)
    assert {(number, seed) for number, _, seed, *_ in together} == {
        (number, seed) for number in TRIALS for seed in (11, 12)
    }


def test_the_test_part_is_not_trained_on(study: PreparedStudy) -> None:
    """The requested part is measured after the same training: equal parts give equal numbers."""
    planned = repetitions(study, TRIALS, {11: list(TRIALS)}, rows=5)
    twins = replace(study, data=replace(study.data, test=study.data.validation))
    found = {
        (prepared is twins, part): [
            (one.number, one.loss, one.accuracy)
            for batch in train(prepared, planned, part=part, stop=StopRequest())
            for one in batch
        ]
        for prepared in (study, twins)
        for part in ("validation", "test")
    }
    assert found[True, "test"] == found[True, "validation"] == found[False, "validation"]
    assert found[False, "test"] != found[False, "validation"]


def test_a_stop_loses_only_the_cohort_in_training(study: PreparedStudy) -> None:
    """Results yielded before a request to stop are complete; nothing follows them."""
    stop = StopRequest()
    planned = repetitions(study, TRIALS, {11: [3, 5], 12: [3, 5]}, rows=2)
    batches = train(study, planned, part="validation", stop=stop)
    assert [one.number for one in next(batches)] == [3, 5]
    stop.request()
    assert list(batches) == []


def test_a_missing_test_part_is_an_error() -> None:
    """A study without a test part has nothing to measure on."""
    study = prepare_study(SPEC)
    planned = repetitions(study, TRIALS, {11: [3]}, rows=1)
    with pytest.raises(DataError, match=r"must have a test part \(got none\): set data.test_fraction"):
        list(train(study, planned, part="test", stop=StopRequest()))


def test_the_roc_auc_needs_every_class_in_validation() -> None:
    """A class that validation lacks is named before any training, with a remedy."""
    x = np.arange(40.0).reshape(20, 2)
    y = np.array(["a"] * 10 + ["b"] * 9 + ["c"])
    spec = replace(SPEC, data=DataSpec(source="x.npz"), metric="roc_auc", training=TrainingSpec(batch_size=4))
    arrays = RawData(inputs=x, targets=y, where="x.npz", origin="x.npz", task="classification")
    message = r'metric: roc_auc must have an example of every class .*\(got none of "c"\): set data.stratify'
    with pytest.raises(StudyFileError, match=message):
        prepare_study(spec, arrays=arrays)
    assert prepare_study(replace(spec, metric="balanced_accuracy"), arrays=arrays).spec.metric


def function(trial: ObjectiveTrial) -> float:
    """Return a number of the seed; fail, give up, or ask for more if the parameters say so."""
    match trial.params["way"]:
        case "raise":
            raise ValueError("no such width")
        case "ask":
            return trial.suggest_float("x", 0, 1)
        case _:
            trial.report(0, value=1.0)
            return float(trial.seed + trial.number)


def test_a_function_gets_the_fresh_seed(tmp_path: Path) -> None:
    """Every wanted training of a function is made once, with the seed; one that fails has no number, and a reason."""
    objective = ObjectiveSpec(function="__main__:function")
    children = Children(objective=objective, metric="value", seed=1, folder=tmp_path, function=function)
    trials: dict[int, dict[str, ParameterValue]] = {2: {"way": "go"}, 4: {"way": "raise"}, 7: {"way": "ask"}}
    said: list[str] = []
    made = train_function(
        children, trials, {11: [2, 4], 12: [2, 7]}, at_once=2, stop=StopRequest(), notify=said.append
    )
    found = {(one.number, one.seed): one.value("value") for batch in made for one in batch}
    assert {key: value for key, value in found.items() if key[0] == 2} == {(2, 11): 13.0, (2, 12): 14.0}
    assert all(math.isnan(found[key] or 0.0) for key in [(4, 11), (7, 12)])
    assert len(found) == 4
    assert any("Trial 4 with seed 11: ValueError in test_repetitions.py" in line for line in said)
    assert "Trial 7 with seed 12: the function asked for x, which the trial does not have" in said
