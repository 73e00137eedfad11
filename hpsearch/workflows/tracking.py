"""Write a study into an experiment tracker, MLflow or TensorBoard. Writing it again adds only what is new."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final, NamedTuple, final

from hpsearch.analysis.snapshot import Snapshot
from hpsearch.analysis.study_state import state_of
from hpsearch.errors import UsageError
from hpsearch.storage.records import StoredStudy
from hpsearch.storage.store import Store
from hpsearch.study.messages import toml_excerpt
from hpsearch.telemetry import Series
from hpsearch.trials import ParameterValue, Trial, TrialState, best_trials
from hpsearch.worker.shutdown import do_nothing
from hpsearch.workflows.listener import Notify
from hpsearch.workflows.snapshot import take_snapshot

TARGETS: Final = "mlflow:URI or tensorboard:DIR"

RESULT: Final = "value"
"""The metric with a trial's result: Optuna's word for it."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class TrackedTrial:
    """A trial as trackers show it.

    `metrics` maps names to numbers by epoch, from 1; the trial's result is among them, at its last epoch. NaN is left
    out. `tags` hold its fate and its verdict.
    """

    number: int
    state: TrialState
    params: Mapping[str, ParameterValue]
    metrics: Mapping[str, Mapping[int, float]]
    tags: Mapping[str, str]
    started: datetime | None
    finished: datetime | None

    @property
    def digest(self) -> str:
        """A checksum of the whole record."""
        return sha256(repr(self).encode()).hexdigest()


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class TrackedStudy:
    """A study as trackers show it, with the trials that have started. `key` is its identity; `best` its best result."""

    key: str
    name: str
    tags: Mapping[str, str]
    best: float | None
    is_finished: bool
    created: datetime | None
    trials: Sequence[TrackedTrial]


class Written(NamedTuple):
    """The numbers of trials that were added to a tracker, and of those that were there and have changed."""

    added: int
    updated: int


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class TrackerExport:
    """A study that was written to the tracker at `target`: its trials, and how many were new or changed."""

    study: str
    target: str
    trials: int
    added: int
    updated: int


def export_to_tracker(store: Store, name: str, target: str, *, notify: Notify = do_nothing) -> TrackerExport:
    """Write a study to `target`, `mlflow:URI` or `tensorboard:DIR`: one parent, and a child for each started trial.

    Raises UsageError for another target, and HpsearchError if its package is missing or the tracker refuses.
    """
    kind, _, place = target.partition(":")
    if kind not in ("mlflow", "tensorboard") or not place:
        raise UsageError(f"--to: must be {TARGETS} (got {toml_excerpt(target)}): choose one of these")
    study = tracked_study(take_snapshot(store, store.studies.get_any(name), notify=notify))
    if kind == "mlflow":
        from hpsearch.workflows.mlflow_runs import write_runs

        written = write_runs(study, place)
    else:
        from hpsearch.workflows.tensorboard_events import write_events

        written = write_events(study, place)
    return TrackerExport(
        study=name, target=target, trials=len(study.trials), added=written.added, updated=written.updated
    )


def tracked_study(snapshot: Snapshot) -> TrackedStudy:
    """Return a study and its started trials as trackers show them."""
    study = snapshot.study
    best = best_trials(snapshot.trials, maximize=study.maximize, count=1)
    tags = {
        "study": study.name,
        "metric": study.spec.metric,
        "direction": "maximize" if study.maximize else "minimize",
        "hpsearch_version": study.version,
        "data": study.fingerprint,
        "best_trial": str(best[0].number) if best else "",
    }
    return TrackedStudy(
        key=study.key or study.name,
        name=study.name,
        tags=_present(tags),
        best=best[0].value if best else None,
        is_finished=state_of(snapshot.progress) in ("finished", "idle"),
        created=study.created,
        trials=[
            _tracked_trial(trial, snapshot.series.get(trial.number, {}), study)
            for trial in snapshot.trials
            if trial.state is not TrialState.WAITING
        ],
    )


def _tracked_trial(trial: Trial, series: Series, study: StoredStudy) -> TrackedTrial:
    return TrackedTrial(
        number=trial.number,
        state=trial.state,
        params=dict(trial.params),
        metrics=dict(_metrics(trial, series, study)),
        tags=_present(dict(_tags(trial))),
        started=trial.started,
        finished=trial.finished,
    )


def _metrics(trial: Trial, series: Series, study: StoredStudy) -> Iterator[tuple[str, dict[int, float]]]:
    curves = {name: dict(enumerate(numbers, start=1)) for name, numbers in series.items()}
    if trial.curve:
        curves[study.spec.metric] = study.numbered(trial.curve)
    for name, curve in curves.items():
        known = {epoch: number for epoch, number in curve.items() if not math.isnan(number)}
        if known:
            yield name, known
    last = max((max(curve) for curve in curves.values() if curve), default=0)
    if len(trial.values) > 1 and study.foreign is not None:
        for name, value in zip(study.foreign.metrics, trial.values, strict=False):
            yield f"{RESULT}_{name}", {last: value}
    elif trial.value is not None:
        yield RESULT, {last: trial.value}


def _tags(trial: Trial) -> Iterator[tuple[str, str]]:
    yield "state", trial.state.value
    yield "fate", trial.fate.value
    yield "worker", trial.worker or ""
    if trial.failure is not None:
        yield "failure", f"{trial.failure.words}: {trial.failure.message}"
    finding = trial.finding
    if finding is not None:
        yield "verdict", finding.cause.value
        yield "confidence", f"{finding.confidence:.2f}"
        yield "first_step", str(finding.first_step)
        yield "evidence", json.dumps(dict(finding.evidence)) if finding.evidence else ""
        yield "remedy", finding.remedy


def _present(tags: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in tags.items() if text}
