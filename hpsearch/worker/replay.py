"""Train any trial of any database again, and check it against its stored values."""

import math
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, final

from threadpoolctl import threadpool_limits

import hpsearch
from hpsearch.data.description import facts_of
from hpsearch.data.prepare import PreparedData
from hpsearch.diagnosis.facts import facts_about
from hpsearch.diagnosis.verdicts import judge
from hpsearch.errors import HpsearchError, StudyFileError
from hpsearch.storage.records import StoredStudy
from hpsearch.study.conditions import missing_names
from hpsearch.study.configurations import why_untrainable
from hpsearch.study.plan import check_fits
from hpsearch.study.reader import changed_configuration
from hpsearch.study.spec import Configuration, TrainingSpec, configure, resolve
from hpsearch.telemetry import Epoch, Series, series_of
from hpsearch.training.folds import mean_series, trainer_for
from hpsearch.training.loop import train_to_end
from hpsearch.training.recording import Recording, RecordingOptions, Subject, record
from hpsearch.training.row import shape_of
from hpsearch.training.telemetry_sampler import SMALL_MINIBATCH
from hpsearch.trials import Trial, TrialState
from hpsearch.verdicts import Verdict
from hpsearch.worker.capacity import check_memory, job_of
from hpsearch.worker.preparation import PreparedStudy, check_data, check_version, prepare_study

WIDE_SERIES: Final = frozenset({"dead_share", "logit_max", "output_range"})
"""The series of samples that are measured on more examples if the minibatch is small; versions before 0.2.0 did not."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class StoredTrial:
    """One trial as stored in the database, with its series, which are empty if it has none.

    `files` is the folder with the data's files, if the study has them in its database.
    """

    study: StoredStudy
    trial: Trial
    series: Series
    files: Path | None = None


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """The first stored number that differs: in `series`, after the epoch (from 0) of these steps."""

    series: str
    epoch: int
    first_step: int
    last_step: int
    stored: float
    replayed: float
    reasons: tuple[str, ...]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ReplayCheck:
    """The comparison with the stored values: the number of epochs and numbers, and the first difference."""

    epochs: int
    numbers: int
    difference: Difference | None


def check(stored: StoredTrial, recording: Recording) -> ReplayCheck:
    """Compare all stored values of a trial by epoch with its replay, bit for bit in stored precision.

    Reported values are stored in double precision and series in single. NaN equals NaN. Epochs that the replay has not
    trained are omitted.
    """
    subject, telemetry = recording.subject, recording.telemetry
    return _compare(
        stored,
        series_of(telemetry, steps_per_epoch=subject.steps_per_epoch),
        training=subject.configuration.training,
        finished=len(telemetry.epochs),
        steps_per_epoch=subject.steps_per_epoch,
    )


def _compare(
    stored: StoredTrial, made: Series, *, training: TrainingSpec, finished: int, steps_per_epoch: int
) -> ReplayCheck:
    """Compare all stored values of a trial with the series `made` of `finished` epochs."""
    compared = [
        (epoch, name, (value, made[name][epoch] if name in made else math.nan), is_single)
        for name, values, is_single in _stored_lines(stored)
        for epoch, value in values.items()
        if epoch < finished
    ]
    parted = [one for one in compared if not _is_same(*one[2], is_single=one[3])]
    first = min(parted, key=lambda one: one[0], default=None)
    is_small = training.batch_size < SMALL_MINIBATCH
    is_older = is_small and {name for _, name, *_ in parted} <= WIDE_SERIES
    reasons = _older_measurements() if is_older else _reasons(stored)
    return ReplayCheck(
        epochs=max((epoch + 1 for epoch, *_ in compared), default=0),
        numbers=len(compared),
        difference=None
        if first is None
        else _difference(*first[:3], reasons=tuple(reasons), steps_per_epoch=steps_per_epoch),
    )


def _stored_lines(stored: StoredTrial) -> Iterator[tuple[str, Mapping[int, float], bool]]:
    """Yield all values stored by epoch: name, numbers, and whether they are in single precision."""
    if stored.trial.curve:
        yield stored.study.spec.metric, stored.trial.curve, False
    for name, values in stored.series.items():
        yield name, dict(enumerate(values)), True


def _is_same(stored: float, now: float, *, is_single: bool) -> bool:
    """Return whether a number equals the stored one to the last bit; NaN equals NaN."""
    if math.isnan(stored) or math.isnan(now):
        return math.isnan(stored) and math.isnan(now)
    return stored == (array("f", [now])[0] if is_single else now)


def _difference(
    epoch: int, series: str, numbers: tuple[float, float], *, reasons: tuple[str, ...], steps_per_epoch: int
) -> Difference:
    return Difference(
        series=series,
        epoch=epoch,
        first_step=epoch * steps_per_epoch,
        last_step=(epoch + 1) * steps_per_epoch - 1,
        stored=numbers[0],
        replayed=numbers[1],
        reasons=reasons,
    )


def _older_measurements() -> Iterator[str]:
    """Yield the reason if only `WIDE_SERIES` differ, and the minibatch is small: the training itself is the same."""
    yield (
        "an earlier hpsearch stored it, which measured dead_share, logit_max and output_range on minibatches below "
        f"{SMALL_MINIBATCH} examples alone; all other numbers are the same to the last bit"
    )


def _reasons(stored: StoredTrial) -> Iterator[str]:
    """Yield possible reasons for differences between the stored trial and its replay."""
    if stored.trial.worker is None:
        yield "another program than hpsearch trained it"
    else:
        yield f"the worker {stored.trial.worker} ran on another machine, or with another NumPy or BLAS"
    if stored.study.version != hpsearch.__version__:
        yield f"the study was made by hpsearch {stored.study.version}, and this is {hpsearch.__version__}"


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ReplayRequest:
    """The request for a replay.

    `epochs` is the number to train; None means up to the trial's end. `settings`, key paths with raw values, request a
    second run with these instead of the trial's own, which trains all its epochs.
    """

    epochs: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    watch: RecordingOptions = field(default_factory=RecordingOptions)


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RecordedRun:
    """One recorded training and its verdict."""

    recording: Recording
    verdict: Verdict


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Replay:
    """A stored trial, its repeated training, the check, and the same trial's run with other `settings`.

    `epochs` are those that were trained again. Of a trial on several folds, the runs are those on the first fold, while
    the check is of all folds together, and `epochs` are their means. `data` is that of the study.
    """

    stored: StoredTrial
    data: PreparedData
    epochs: Sequence[Epoch]
    original: RecordedRun
    check: ReplayCheck
    settings: Mapping[str, Any]
    altered: RecordedRun | None


def replay(stored: StoredTrial, request: ReplayRequest, *, prepared: PreparedStudy | None = None) -> Replay:
    """Train a stored trial again, alone and with one thread, and check it against the stored values.

    The data is read anew unless the study is `prepared` in memory. Raises HpsearchError if the trial cannot be trained,
    FingerprintError if the data is not the study's, VersionError for a study of another major version, and
    StudyFileError for settings that do not fit.
    """
    check_version(stored.study)
    configuration = configuration_of(stored)
    _check_watch(configuration, request.watch, stored)
    changed = changed_configuration(configuration, request.settings, source=f"{_name(stored)} with --set")
    prepared = prepared or prepare_study(stored.study.spec, files=stored.files)
    check_data(stored.study, prepared.data)
    own = _prepared(prepared, configuration, stored)
    # Checked first: settings that do not fit should not cost a training.
    other = _prepared(prepared, changed, stored) if request.settings else None
    if own.data.folds:
        found, epochs = _check_folds(stored, own, request.epochs)
        original = _run(_on_first_fold(own), stored, request, until=_end_on_fold(stored, own))
    else:
        original = _run(own, stored, request, until=_end_of(stored, own))
        found = check(stored, original.recording)
        epochs = original.recording.telemetry.epochs
    other = None if other is None else _on_first_fold(other)
    return Replay(
        stored=stored,
        data=prepared.data,
        epochs=epochs,
        original=original,
        check=found,
        settings=request.settings,
        altered=None if other is None else _run(other, stored, request, until=None),
    )


def _on_first_fold(study: PreparedStudy) -> PreparedStudy:
    """Return the study of the first fold alone, or the study itself if it has no folds."""
    return replace(study, data=study.data.searched[0])


def _end_on_fold(stored: StoredTrial, study: PreparedStudy) -> int:
    """Return the steps on the first fold of the epochs that a trial has finished, at least one."""
    epochs = max(stored.trial.curve, default=0) + 1
    return epochs * _steps_per_epoch(_on_first_fold(study))


def _check_folds(
    stored: StoredTrial, study: PreparedStudy, epochs: int | None
) -> tuple[ReplayCheck, Sequence[Epoch]]:
    """Train a trial on all folds for the epochs that it finished, or for `epochs`, and compare the means over folds."""
    if not stored.trial.curve:
        return ReplayCheck(epochs=0, numbers=0, difference=None), ()
    finished = max(stored.trial.curve) + 1
    configuration = configure(study.spec, {})
    training = replace(configuration.training, epochs=finished if epochs is None else min(epochs, finished))
    configuration = replace(configuration, training=training)
    with threadpool_limits(limits=1):
        trainer = trainer_for(
            shape_of(configuration),
            study.data,
            capacity=1,
            seed=study.spec.seed,
            metric=study.spec.metric,
        )
        (end,) = train_to_end(trainer, {stored.trial.number: configuration})
    steps = [-(-len(fold.training.inputs) // training.batch_size) for fold in study.data.folds]
    found = _compare(
        stored,
        mean_series(end.measured, steps_per_epoch=steps),
        training=training,
        finished=training.epochs,
        steps_per_epoch=sum(steps),
    )
    return found, end.telemetry.epochs


def configuration_of(stored: StoredTrial) -> Configuration:
    """Return the trial's configuration. Raises HpsearchError if the database does not have it."""
    trial, spec = stored.trial, stored.study.spec
    missing = missing_names(spec.search, trial.params)
    if missing:
        if trial.state is TrialState.WAITING:
            what = "it waits to be sampled"
        elif trial.state is TrialState.FAILED and trial.started is None:
            what = "it failed before a worker claimed it"
        else:
            what = "another program made it"
        raise HpsearchError(
            f"{_name(stored)}: must have a value of {', '.join(missing)} (got none: {what}): "
            "replay one that a worker has begun"
        )
    if (why := why_untrainable(spec, trial.params)) is not None:
        raise HpsearchError(
            f"{_name(stored)}: its parameters must be this study's ({why}): another program set them; "
            "replay another trial"
        )
    return configure(spec, trial.params)


def _name(stored: StoredTrial) -> str:
    return f'study "{stored.study.spec.name}": trial {stored.trial.number}'


def _check_watch(configuration: Configuration, watch: RecordingOptions, stored: StoredTrial) -> None:
    """Raise HpsearchError for watched units that the first hidden layer lacks."""
    width = configuration.model.hidden[0] if configuration.model.hidden else 0
    wrong = [unit for unit in watch.units if unit >= width]
    if wrong:
        have = f"they are numbered from 0 to {width - 1}" if width else "it has no hidden layer"
        raise HpsearchError(
            f"--watch: must name units of the first hidden layer of {_name(stored)} "
            f"(got {', '.join(map(str, wrong))}): {have}"
        )


def _prepared(study: PreparedStudy, configuration: Configuration, stored: StoredTrial) -> PreparedStudy:
    """Return a study that searches nothing and trains `configuration`. Raises StudyFileError if it does not fit."""
    spec = replace(
        study.spec,
        model=configuration.model,
        training=configuration.training,
        search=(),
        configurations=(),
    )
    try:
        resolved = resolve(spec, task=study.spec.data.task)  # type: ignore[arg-type] # a stored task is known
        check_fits(resolved, min(len(data.training.inputs) for data in study.data.searched))
        data = study.data
        if spec.training.precision != study.spec.training.precision:
            data = prepare_study(resolved, files=study.files).data
        prepared = replace(study, spec=resolved, data=data)
        check_memory(job_of(prepared))
    except StudyFileError as error:
        raise StudyFileError(_name(stored), error.problems) from error
    return prepared


def _steps_per_epoch(study: PreparedStudy) -> int:
    return -(-len(study.data.training.inputs) // study.spec.training.batch_size)


def _end_of(stored: StoredTrial, study: PreparedStudy) -> int | None:
    """Return the number of steps after which the trial ended, or so far; None if no training is stored."""
    trial = stored.trial
    if trial.steps:
        return trial.steps
    # A trial of another program has no steps, but it may have reported epochs, or any step.
    epochs = min(max(trial.curve) + 1, study.spec.training.epochs) if trial.curve else None
    return None if epochs is None else epochs * _steps_per_epoch(study)


def _run(
    study: PreparedStudy, stored: StoredTrial, request: ReplayRequest, *, until: int | None
) -> RecordedRun:
    """Train the single configuration of `study` for `until` steps or, if given, for that many epochs."""
    configuration = configure(study.spec, {})
    steps_per_epoch = _steps_per_epoch(study)
    if request.epochs is not None:
        until = request.epochs * steps_per_epoch
    if until is not None:
        epochs = max(configuration.training.epochs, -(-until // steps_per_epoch))
        configuration = replace(configuration, training=replace(configuration.training, epochs=epochs))
    subject = Subject(
        configuration=configuration,
        data=study.data,
        seed=study.spec.seed,
        number=stored.trial.number,
        metric=study.spec.metric,
    )
    width = configuration.model.hidden[0] if configuration.model.hidden else 0
    watch = replace(request.watch, units=tuple(unit for unit in request.watch.units if unit < width))
    with threadpool_limits(limits=1):
        recording = record(subject, watch=watch, until_step=until)
    facts = facts_about(study.spec, facts_of(study.data), configuration)
    return RecordedRun(recording=recording, verdict=judge(recording.telemetry, facts))
