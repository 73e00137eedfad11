"""The specification: diagnosed and fatal causes, the meaning of "auto", and a trial's configuration."""

from dataclasses import replace
from typing import get_args

import pytest

from hpsearch.errors import StudyFileError
from hpsearch.study.metrics import Metric
from hpsearch.study.reader import parse_study
from hpsearch.study.schema import FAULT
from hpsearch.study.spec import (
    DEFAULT_FATAL,
    DIAGNOSED_CAUSES,
    Choices,
    DataSpec,
    ExactConfiguration,
    Fault,
    FaultName,
    Initializer,
    KnownTask,
    Loss,
    ModelSpec,
    PruningSpec,
    StudySpec,
    TrainingSpec,
    configure,
    fault_in_words,
    resolve,
)
from hpsearch.trials import ParameterValue
from hpsearch.verdicts import Cause

SMALLEST = StudySpec(name="x", data=DataSpec(source="digits"))


def test_diagnosed_causes_are_found_inside_networks() -> None:
    """Healthy trials and external ends are no diagnosed causes; the default fatal ones are, in order."""
    assert set(Cause) - set(DIAGNOSED_CAUSES) == {
        Cause.HEALTHY,
        Cause.INCONCLUSIVE,
        Cause.OUTRANKED,
        Cause.WORKER_LOST,
        Cause.CODE_ERROR,
        Cause.STOPPED,
        Cause.TIMEOUT,
        Cause.OUT_OF_MEMORY,
        Cause.EARLY_STOPPED,
    }
    assert tuple(cause for cause in DIAGNOSED_CAUSES if cause in DEFAULT_FATAL) == DEFAULT_FATAL


def test_expected_causes_are_never_fatal() -> None:
    """An expected cause stops no trial, even if it is listed as fatal."""
    pruning = PruningSpec(fatal=(Cause.DIVERGED_LR, Cause.OVERFIT), expected=(Cause.OVERFIT,))
    assert pruning.fatal_causes == {Cause.DIVERGED_LR}


@pytest.mark.parametrize(
    ("task", "metric", "loss"),
    [("classification", "validation_accuracy", "cross_entropy"), ("regression", "rmse", "mse")],
)
def test_auto_follows_from_the_task(task: KnownTask, metric: Metric, loss: Loss) -> None:
    """Classification has accuracy and cross-entropy, regression has RMSE and squared error."""
    study = resolve(SMALLEST, task=task)
    assert (study.data.task, study.metric, study.model.loss, study.model.output) == (
        task,
        metric,
        loss,
        "auto",
    )
    assert resolve(study, task=task) == study


def test_explicit_values_are_kept() -> None:
    """Squared error on classes, judged by the loss, is allowed."""
    study = replace(SMALLEST, metric="validation_loss", model=ModelSpec(loss="mse"))
    resolved = resolve(study, task="classification")
    assert (resolved.metric, resolved.model.loss) == ("validation_loss", "mse")


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
def test_regression_refuses_what_needs_classes(loss: Loss) -> None:
    """In regression accuracy and cross-entropy are refused, both at once."""
    study = replace(SMALLEST, metric="validation_accuracy", model=ModelSpec(loss=loss))
    with pytest.raises(StudyFileError) as caught:
        resolve(study, task="regression")
    remedy = 'change it, or set data.task = "classification"'
    assert str(caught.value) == (
        "x: 2 problems\n"
        "  metric: must be one of validation_loss, rmse, mae, r2 in regression "
        f'(got "validation_accuracy"): {remedy}\n'
        f'  model.loss: must be mse in regression (got "{loss}"): {remedy}'
    )


def test_classification_refuses_what_needs_numbers() -> None:
    """In classification RMSE is refused, whose remedy is the other task."""
    with pytest.raises(StudyFileError, match=r'metric: must be one of .* in classification .*= "regression"'):
        resolve(replace(SMALLEST, metric="rmse"), task="classification")


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss"])
def test_metrics_of_probabilities_need_them(metric: Metric) -> None:
    """A fixed, searched or exact output that is no probability is refused at once, by name."""
    study = replace(SMALLEST, metric=metric)
    assert resolve(study, task="classification").metric == metric
    outputs = Choices(["softmax", "tanh"], name="model.output")
    exact = ExactConfiguration(name="x", params=(("model.loss", "mse"),))
    for changed, got in (
        (replace(study, model=ModelSpec(loss="mse")), 'model.loss = "mse"'),
        (replace(study, search=(outputs,)), 'model.output = "tanh"'),
        (replace(study, configurations=(exact,)), 'model.loss = "mse"'),
    ):
        message = rf"metric: {metric} must have outputs that are probabilities \(got {got}\): set model.loss"
        with pytest.raises(StudyFileError, match=message):
            resolve(changed, task="classification")


def test_class_weights_need_classes() -> None:
    """Regression has no classes to weight, whether the key is fixed or searched."""
    fixed = replace(SMALLEST, training=TrainingSpec(class_weight="balanced"))
    searched = replace(SMALLEST, search=(Choices(["none", "balanced"], name="training.class_weight"),))
    for study in (fixed, searched):
        assert resolve(study, task="classification").metric == "validation_accuracy"
        with pytest.raises(StudyFileError, match=r"training.class_weight: must be none in regression"):
            resolve(study, task="regression")


def test_parameters_are_inserted() -> None:
    """A configuration is the study's model and training with the trial's parameters in their fields."""
    params: dict[str, ParameterValue] = {
        "learning_rate": 0.5,
        "model.hidden": "[8, 4]",
        "model.initializer": '{"normal": 0.5}',
    }
    configuration = configure(SMALLEST, params)
    assert configuration.training == TrainingSpec(learning_rate=0.5)
    assert configuration.model == ModelSpec(hidden=(8, 4), initializer=Initializer(name="normal", scale=0.5))


@pytest.mark.parametrize("name", ["lr", "data.scale", "model."])
def test_an_unknown_parameter_is_a_bug(name: str) -> None:
    """A parameter that names no field of [model] or [training] raises."""
    with pytest.raises(ValueError, match=r"not a field of \[model\] or \[training\]"):
        configure(SMALLEST, {name: 1.0})


def test_every_fault_can_be_written() -> None:
    """A study file can name every fault, with or without a number."""
    assert {*FAULT.names, *FAULT.examples} == set(get_args(FaultName))


@pytest.mark.parametrize("name", get_args(FaultName))
def test_every_fault_has_its_own_words(name: FaultName) -> None:
    """No two faults have the same description, and it has the number if there is one."""
    others = [fault_in_words(Fault(name=other, number=77)) for other in get_args(FaultName) if other != name]
    words = fault_in_words(Fault(name=name, number=77))
    assert words not in others
    assert ("77" in words) == (name in FAULT.examples)


@pytest.mark.parametrize("number", ["1", "65537", "2.0", "true"])
def test_the_number_of_a_fault_is_checked(number: str) -> None:
    """A divisor without an effect, or that is not a whole number, is refused at its path."""
    text = f'name = "x"\ndata = {{ source = "digits", fault = {{ integer_division = {number} }} }}'
    with pytest.raises(Exception, match=r"data\.fault\.integer_division: must be a whole number from 2 to"):
        parse_study(text, source="x.toml")
