"""The specification: JSON there and back, and what "auto" means."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.errors import StudyFileError
from hpsearch.records import Cause, ParameterValue
from hpsearch.study import spec as words
from hpsearch.study.schema import SEARCHED
from hpsearch.study.schema import words as words_of
from hpsearch.study.spec import (
    AILMENTS,
    DEFAULT_FATAL,
    Choices,
    DataSpec,
    Fault,
    Initializer,
    KnownTask,
    Loss,
    Metric,
    ModelSpec,
    PruningSpec,
    Range,
    SamplerSpec,
    StudySpec,
    TrainingSpec,
    configure,
    resolve,
)

numbers = st.floats(allow_nan=False, allow_infinity=False)
counts = st.integers(1, 10**7)
names = st.sampled_from(sorted(SEARCHED))
dimensions = st.builds(
    Range,
    name=names,
    low=numbers,
    high=numbers,
    log=st.booleans(),
    step=st.none() | numbers,
    integer=st.booleans(),
) | st.builds(
    Choices,
    name=names,
    choices=st.lists(numbers | st.booleans() | st.text() | counts, min_size=1, max_size=5).map(tuple),
)
causes = st.lists(st.sampled_from(AILMENTS), unique=True).map(tuple)
studies = st.builds(
    StudySpec,
    name=st.text(min_size=1, max_size=200),
    trials=counts,
    seed=st.integers(0, 2**63 - 1),
    metric=st.sampled_from(words_of(words.Metric)),
    data=st.builds(
        DataSpec,
        source=st.text(min_size=1),
        validation_fraction=numbers,
        test_fraction=numbers,
        stratify=st.booleans(),
        target=st.none() | st.text(),
        fault=st.none()
        | st.builds(
            Fault, name=st.sampled_from(words_of(words.FaultName)), number=st.none() | st.integers(2, 65_536)
        ),
    ),
    model=st.builds(
        ModelSpec,
        hidden=st.lists(counts, max_size=5).map(tuple),
        activation=st.sampled_from(words_of(words.Activation)),
        initializer=st.builds(
            Initializer, name=st.sampled_from(["he", "normal", "uniform"]), scale=st.none() | numbers
        ),
        batch_norm=st.booleans(),
        dropout=numbers,
        dropout_position=st.sampled_from(words_of(words.DropoutPosition)),
        dropout_layers=st.sampled_from(words_of(words.DropoutLayers)),
        skip_connections=st.booleans(),
    ),
    training=st.builds(
        TrainingSpec, epochs=counts, batch_size=counts, learning_rate=numbers, weight_decay=numbers
    ),
    search=st.lists(dimensions, max_size=4).map(tuple),
    sampler=st.builds(SamplerSpec, name=st.sampled_from(words_of(words.SamplerName)), points=counts),
    pruning=st.builds(
        PruningSpec, diagnosis=st.booleans(), percentile=numbers, fatal=causes, audit=numbers, expected=causes
    ),
)

SMALLEST = StudySpec(name="x", data=DataSpec(source="digits"))


@given(studies)
def test_json_keeps_everything(study: StudySpec) -> None:
    """What is written as JSON is read back as an equal record, with the same types."""
    again = StudySpec.from_json(study.to_json())
    assert again == study
    assert repr(again) == repr(study)


@pytest.mark.parametrize(
    "path",
    [
        (),
        ("data",),
        ("data", "fault"),
        ("model",),
        ("model", "initializer"),
        ("training",),
        ("sampler",),
        ("pruning",),
    ],
)
def test_keys_of_a_newer_version_are_refused(path: tuple[str, ...]) -> None:
    """A key that this version does not know may change results, so it is not passed over."""
    wrong = replace(SMALLEST, data=replace(SMALLEST.data, fault=Fault(name="labels_shuffled")))
    raw = json.loads(wrong.to_json())
    table: dict[str, Any] = raw
    for key in path:
        table = table[key]
    table["novelty"] = 1
    with pytest.raises(ValueError, match=r"unknown keys \['novelty'\]"):
        StudySpec.from_json(json.dumps(raw))


def test_a_study_of_an_older_version_is_read() -> None:
    """A study that was stored before it could say what is fatal has the default, and no audit."""
    raw = json.loads(SMALLEST.to_json())
    for key in ("fatal", "audit", "expected"):
        del raw["pruning"][key]
    assert StudySpec.from_json(json.dumps(raw)) == SMALLEST


def test_a_study_from_before_skips_and_faults_is_read() -> None:
    """A study stored before it could say where dropout stands, what skips and what is wrong is the plain one."""
    raw = json.loads(SMALLEST.to_json())
    del raw["data"]["fault"]
    for key in ("dropout_position", "dropout_layers", "skip_connections"):
        del raw["model"][key]
    assert StudySpec.from_json(json.dumps(raw)) == SMALLEST


def test_ailments_are_what_diagnosis_finds_wrong() -> None:
    """Neither health nor what ends a trial from outside ails a network; the default fatal causes do, in order."""
    assert set(Cause) - set(AILMENTS) == {
        Cause.HEALTHY,
        Cause.INCONCLUSIVE,
        Cause.OUTRANKED,
        Cause.WORKER_LOST,
        Cause.CODE_ERROR,
        Cause.TIMEOUT,
        Cause.STOPPED,
    }
    assert tuple(cause for cause in AILMENTS if cause in DEFAULT_FATAL) == DEFAULT_FATAL


def test_what_is_expected_is_never_deadly() -> None:
    """A cause that the study has on purpose stops nothing, also where it is listed as fatal."""
    pruning = PruningSpec(fatal=(Cause.DIVERGED_LR, Cause.OVERFIT), expected=(Cause.OVERFIT,))
    assert pruning.deadly == {Cause.DIVERGED_LR}


def test_keys_of_a_newer_version_are_refused_in_dimensions() -> None:
    """The same holds for ranges and choices."""
    study = replace(SMALLEST, search=(Choices(name="a", choices=(1,)), Range(name="b", low=0.0, high=1.0)))
    for i in range(2):
        raw = json.loads(study.to_json())
        raw["search"][i]["novelty"] = 1
        with pytest.raises(ValueError, match=r"unknown keys \['novelty'\]"):
            StudySpec.from_json(json.dumps(raw))


@pytest.mark.parametrize(
    ("task", "metric", "loss"),
    [("classification", "validation_accuracy", "cross_entropy"), ("regression", "validation_loss", "mse")],
)
def test_auto_follows_from_the_task(task: KnownTask, metric: Metric, loss: Loss) -> None:
    """Classes are judged by accuracy and trained with cross-entropy, numbers by and with squared error."""
    study = resolve(SMALLEST, task=task)
    assert (study.data.task, study.metric, study.model.loss, study.model.output) == (
        task,
        metric,
        loss,
        "auto",
    )
    assert resolve(study, task=task) == study


def test_what_is_said_outright_stays() -> None:
    """Squared error on classes, judged by the loss, is allowed."""
    study = replace(SMALLEST, metric="validation_loss", model=ModelSpec(loss="mse"))
    resolved = resolve(study, task="classification")
    assert (resolved.metric, resolved.model.loss) == ("validation_loss", "mse")


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
def test_regression_refuses_what_needs_classes(loss: Loss) -> None:
    """Where the data are numbers, accuracy and cross-entropy are refused, both at once."""
    study = replace(SMALLEST, metric="validation_accuracy", model=ModelSpec(loss=loss))
    with pytest.raises(StudyFileError) as caught:
        resolve(study, task="regression")
    remedy = 'change it, or set data.task = "classification"'
    assert str(caught.value) == (
        "x: 2 problems\n"
        f'  metric: must be validation_loss in regression (got "validation_accuracy"): {remedy}\n'
        f'  model.loss: must be mse in regression (got "{loss}"): {remedy}'
    )


def test_parameters_are_put_in() -> None:
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
