"""Law 10: a trained model can always be had back, and predicts on raw input what validation saw."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from hpsearch.data.sources import load
from hpsearch.data.split import split
from hpsearch.errors import DataError, HpsearchError
from hpsearch.model.fitting import fit_again
from hpsearch.model.trained_model import TrainedModel
from hpsearch.study.metrics import Metric
from hpsearch.study.spec import ModelSpec, StudySpec
from hpsearch.training.scores import balanced_accuracy, log_loss, macro_f1, regression_scores, roc_auc
from hpsearch.trials import TrialState
from tests.model.conftest import KINDS, Finished, stored_trial
from tests.worker.bench import SPEC


def validation_rows(
    spec: StudySpec,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], tuple[str, ...]]:
    """Return the raw inputs and targets of the validation part, and the classes, read anew."""
    source = load(spec.data.source, target=spec.data.target, task=spec.data.task, environment={})
    rows = split(source, spec.data, seed=spec.seed).validation
    return source.inputs[rows], source.targets[rows], source.classes


def metric_of(
    model: TrainedModel, inputs: npt.NDArray[np.float64], targets: npt.NDArray[np.float64]
) -> float:
    """Return the study's metric of predictions."""
    if model.task == "regression":
        predicted = model.predict(inputs)
        return regression_scores(targets, predicted[:, None])[model.spec.metric]
    chances = model.predict_probabilities(inputs)
    answers, labels = chances.argmax(axis=1), targets.astype(np.int64)
    measures = {
        "balanced_accuracy": lambda: balanced_accuracy(answers, labels),
        "f1_macro": lambda: macro_f1(answers, labels),
        "roc_auc": lambda: roc_auc(chances, labels),
        "log_loss": lambda: log_loss(chances, labels),
    }
    return measures[model.spec.metric]()


def data_loss(
    model: TrainedModel, inputs: npt.NDArray[np.float64], targets: npt.NDArray[np.float64]
) -> float:
    """Return the mean loss of predictions, computed in double precision."""
    if model.task == "regression":
        errors = (model.predict(inputs) - targets[:, 0]) / model.target_scaling.divisor
        return float(np.square(errors).mean())
    chosen = model.predict_probabilities(inputs)[np.arange(len(targets)), targets]
    return float(-np.log(chosen).mean())


@pytest.mark.parametrize("kind", KINDS)
def test_predictions_on_raw_rows_equal_validation(kind: str, finished: Finished) -> None:
    """The accuracy of the predicted labels is the stored value exactly, and the loss is the stored one to 1e-6."""
    _, stored = finished(kind)
    model = fit_again(stored).model
    inputs, targets, classes = validation_rows(stored.study.spec)
    assert (model.result.is_verified, model.value) == (True, stored.trial.value)
    assert model.classes == classes
    assert data_loss(model, inputs, targets) == pytest.approx(
        model.result.validation_loss, rel=1e-6, abs=1e-6
    )
    if model.task == "classification":
        hits = model.predict(inputs).astype(str) == np.array(classes)[targets]
        assert int(hits.sum()) / len(hits) == stored.trial.value


@pytest.mark.parametrize(
    ("kind", "metric"),
    [
        ("regression", "rmse"),
        ("regression", "mae"),
        ("regression", "r2"),
        ("unscaled", "r2"),
        ("csv", "balanced_accuracy"),
        ("csv", "f1_macro"),
        ("csv", "roc_auc"),
        ("two_classes", "roc_auc"),
        ("two_classes", "log_loss"),
    ],
)
def test_predictions_give_the_stored_metric(kind: str, metric: Metric, finished: Finished) -> None:
    """Every metric of the predictions on raw rows is the stored value, to the last bit."""
    _, stored = finished(kind, metric=metric, trials=2)
    model = fit_again(stored).model
    inputs, targets, _ = validation_rows(stored.study.spec)
    assert (model.result.is_verified, model.value) == (True, stored.trial.value)
    assert metric_of(model, inputs, targets) == stored.trial.value


@pytest.mark.parametrize(("kind", "rate"), [("csv", 0.1), ("regression", 0.02)])
def test_the_best_epoch_counts_if_it_is_kept(kind: str, rate: float, finished: Finished) -> None:
    """The trial's value and the weights of its model are of the best epoch; the curve stays whole."""
    training = replace(SPEC.training, keep="best", epochs=40, learning_rate=rate)
    _, stored = finished(kind, training=training, search=(), trials=3)
    curve = stored.trial.curve
    best = (max if stored.study.maximize else min)(curve.values())
    epoch = next(epoch for epoch, value in curve.items() if value == best)
    assert len(curve) == 40
    assert epoch < 39, "the test needs a best epoch before the last"
    model = fit_again(stored).model
    assert (stored.trial.value, model.value, model.result.epochs) == (best, best, epoch + 1)
    assert model.result.is_verified
    inputs, targets, classes = validation_rows(stored.study.spec)
    if kind == "csv":
        assert (model.predict(inputs) == np.array(classes)[targets]).mean() == best
    else:
        assert metric_of(model, inputs, targets) == best


def test_a_pruned_trial_has_a_model_if_it_is_allowed(finished: Finished) -> None:
    """A pruned trial is refused by default; allowed, its model is that of its last whole epoch."""
    bench, _ = finished("csv", trials=24, pruning=SPEC.pruning)
    pruned = next(t for t in bench.trials() if t.state is TrialState.PRUNED and t.curve)
    stored = stored_trial(bench, pruned.number)
    with pytest.raises(HpsearchError, match=r"must be complete to have a model .*or allow a pruned trial"):
        fit_again(stored)
    model = fit_again(stored, allow_pruned=True).model
    assert model.result.epochs == len(pruned.curve)
    assert model.value == pruned.curve[max(pruned.curve)]


@pytest.mark.parametrize("state", [TrialState.FAILED, TrialState.RUNNING, TrialState.WAITING])
def test_a_trial_without_an_end_has_no_model(state: TrialState, finished: Finished) -> None:
    """Only trials that are complete, or pruned after an epoch, have a model."""
    _, stored = finished("csv")
    unfinished = replace(stored, trial=replace(stored.trial, state=state, curve={}))
    with pytest.raises(HpsearchError, match="must be complete to have a model"):
        fit_again(unfinished, allow_pruned=True)
    pruned = replace(stored, trial=replace(stored.trial, state=TrialState.PRUNED, curve={}))
    with pytest.raises(HpsearchError, match="must have finished an epoch to have a model"):
        fit_again(pruned, allow_pruned=True)


def test_a_training_that_differs_is_refused(finished: Finished) -> None:
    """A stored number with another last bit refuses the export, unless a difference is allowed and recorded."""
    _, stored = finished("csv")
    first = np.nextafter(stored.trial.curve[0], 2)
    for changed in (
        replace(stored.trial, curve={**stored.trial.curve, 0: float(first)}),
        replace(stored.trial, value=0.5),
    ):
        other = replace(stored, trial=changed)
        with pytest.raises(HpsearchError, match=r"the model must have the stored results \(got another"):
            fit_again(other)
        model = fit_again(other, allow_difference=True).model
        assert (model.result.is_verified, model.result.stored_value) == (False, changed.value)
        assert model.value == stored.trial.value


@pytest.mark.parametrize("kind", ["csv", "regression"])
def test_a_model_can_be_trained_on_all_examples(kind: str, finished: Finished) -> None:
    """The weights are those of a training on both parts; results and preprocessing stay those of the check."""
    _, stored = finished(kind)
    own, joined = fit_again(stored).model, fit_again(stored, on="all").model
    assert joined.result == replace(own.result, steps=joined.result.steps, trained_on="all")
    examples = own.result.training_examples + own.result.validation_examples
    assert joined.result.steps == own.result.epochs * -(-examples // 32)
    assert np.array_equal(joined.preprocessing.scaling.offset, own.preprocessing.scaling.offset)
    assert not np.array_equal(joined.parameters, own.parameters)
    assert np.array_equal(joined.parameters, fit_again(stored, on="all").model.parameters)
    inputs, targets, _ = validation_rows(stored.study.spec)
    assert data_loss(joined, inputs, targets) < data_loss(own, inputs, targets)


def test_labels_have_the_type_of_the_targets(finished: Finished) -> None:
    """Classes whose names are whole numbers are predicted as whole numbers, flags as flags, others as text."""
    _, stored = finished("digits")
    model = fit_again(stored).model
    inputs, *_ = validation_rows(stored.study.spec)
    assert model.predict(inputs).dtype == np.int64
    flags = replace(model, classes=("False", "True", *model.classes[2:]))
    assert flags.predict(inputs).dtype.kind == "U"


def test_probabilities_need_a_network_that_has_them(finished: Finished) -> None:
    """Regressions, and networks whose outputs are no probabilities, refuse; sigmoids are divided by their sum."""
    _, stored = finished("csv", model=ModelSpec(hidden=(8,), loss="mse"))
    model = fit_again(stored).model
    inputs, *_ = validation_rows(stored.study.spec)
    with pytest.raises(
        HpsearchError, match=r'needs outputs that are probabilities \(got model.output = "identity"'
    ):
        model.predict_probabilities(inputs)
    _, stored = finished("csv", name="sigmoids", model=ModelSpec(hidden=(8,), loss="binary_cross_entropy"))
    shares = fit_again(stored).model.predict_probabilities(inputs)
    assert shares.shape == (len(inputs), 3)
    assert np.allclose(shares.sum(axis=1), 1)


def test_numbers_that_overflow_are_refused(finished: Finished) -> None:
    """A raw number that does not fit the network's precision after scaling is an error, not infinity."""
    _, stored = finished("csv")
    with pytest.raises(DataError, match="predict: numbers must fit float32 after scaling"):
        fit_again(stored).model.predict(np.full((1, 4), 1e300))
