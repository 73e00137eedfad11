"""Replays made up from real recordings of small networks, for the tests of figures and pages."""

from array import array
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

import numpy as np

from hpsearch.data.description import facts_of
from hpsearch.data.prepare import PreparedData
from hpsearch.diagnosis.facts import facts_about
from hpsearch.diagnosis.verdicts import judge
from hpsearch.storage.records import StoredStudy
from hpsearch.study.spec import Configuration, DataSpec, StudySpec, resolve
from hpsearch.telemetry import series_of
from hpsearch.training.recording import Recording, Subject, record
from hpsearch.trials import Trial, TrialState
from hpsearch.worker.preparation import PreparedStudy
from hpsearch.worker.replay import Difference, RecordedRun, Replay, ReplayCheck, StoredTrial, check
from tests.training.cases import SEED, classification, configuration, regression

TAKEN = datetime(2026, 11, 27, 12, 30, tzinfo=UTC)

CASES: Mapping[str, Mapping[str, Any]] = {
    "healthy": {"hidden": (12, 8), "learning_rate": 0.1},
    "dying": {"hidden": (12,), "reduction": "sum", "learning_rate": 0.3},
    "diverging": {"hidden": (12,), "activation": "leaky_relu", "learning_rate": 1e8, "precision": "float64"},
    "batch norm": {"hidden": (12, 8), "batch_norm": True, "dropout": 0.3},
    "no hidden layer": {"hidden": ()},
    "deep": {"hidden": (6,) * 8, "activation": "tanh"},
    "regression": {"hidden": (12,), "loss": "mse", "batch_size": 9},
}


def data_of(chosen: Configuration) -> PreparedData:
    """Return the data of a case: inputs that are never negative, with classes unless the loss is squared."""
    precision = chosen.training.precision
    if chosen.model.loss == "mse":
        return regression(training=200, precision=precision)
    data = classification(training=200, inputs=20, precision=precision)
    training, validation = (
        replace(fold, inputs=np.abs(fold.inputs)) for fold in (data.training, data.validation)
    )
    return replace(data, training=training, validation=validation)


@cache
def recording(name: str, **changes: Any) -> Recording:
    """Return the recording of a case, with `changes` in its configuration."""
    chosen = configuration(**{"epochs": 8, **CASES[name], **changes})
    return record(Subject(configuration=chosen, data=data_of(chosen), seed=SEED, number=3))


def study_of(made: Recording, *, name: str = "blobs") -> StoredStudy:
    """Return a study that could have made the recording."""
    subject = made.subject
    chosen = subject.configuration
    spec = StudySpec(
        name=name,
        data=DataSpec(source="digits"),
        trials=5,
        seed=subject.seed,
        model=chosen.model,
        training=chosen.training,
        search=(),
    )
    return StoredStudy(
        key="key",
        study_id=1,
        spec=resolve(spec, task=subject.data.task),
        fingerprint="made up",
        created=TAKEN,
        version="1",
    )


def run_of(made: Recording) -> RecordedRun:
    """Return the recording with its verdict."""
    subject = made.subject
    prepared = PreparedStudy(spec=study_of(made).spec, data=subject.data)
    facts = facts_about(prepared.spec, facts_of(prepared.data), subject.configuration)
    return RecordedRun(recording=made, verdict=judge(made.telemetry, facts))


def replay_of(name: str, *, altered: Mapping[str, Any] | None = None, study: str = "blobs") -> Replay:
    """Return the replay of a case, with a second one of `altered` fields if there are any."""
    made = recording(name)
    run = run_of(made)
    series = series_of(made.telemetry, steps_per_epoch=made.subject.steps_per_epoch)
    stored = StoredTrial(
        study=study_of(made, name=study),
        trial=Trial(
            number=3,
            state=TrialState.PRUNED,
            params={},
            finding=run.verdict.findings[0],
            steps=made.steps,
            worker="ann",
        ),
        series={key: array("f", values).tolist() for key, values in series.items()},
    )
    return Replay(
        stored=stored,
        data=made.subject.data,
        epochs=made.telemetry.epochs,
        original=run,
        check=check(stored, made),
        settings={f"training.{key}": value for key, value in (altered or {}).items()},
        altered=None if altered is None else run_of(recording(name, **altered)),
    )


def difference() -> ReplayCheck:
    """Return a check that found a difference."""
    return ReplayCheck(
        epochs=3,
        numbers=9,
        difference=Difference(
            series="training_loss",
            epoch=1,
            first_step=20,
            last_step=39,
            stored=float("nan"),
            replayed=0.25,
            reasons=("this", "that"),
        ),
    )
