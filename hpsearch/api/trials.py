"""Trials and verdicts as objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, final

from hpsearch.api.access import DatabaseAccess
from hpsearch.api.arguments import file_path, optional_whole_number, table, text
from hpsearch.api.border import public
from hpsearch.api.documents import FilePath, raw_choice
from hpsearch.api.models import Model
from hpsearch.api.options import Value
from hpsearch.api.progress import listener_of
from hpsearch.errors import HpsearchError
from hpsearch.model.fitting import fit_again
from hpsearch.model.trained_model import TrainedOn
from hpsearch.storage.records import StoredStudy
from hpsearch.study.schema import MOST_EPOCHS
from hpsearch.study.spec import full_name
from hpsearch.training.recording import Recording
from hpsearch.trials import Fate, ParameterValue, Trial, TrialState
from hpsearch.verdicts import Cause, Finding
from hpsearch.worker.replay import Replay, ReplayRequest
from hpsearch.workflows.json_objects import JsonObject, replay_object, trial_with_history
from hpsearch.workflows.report import write_replay_page
from hpsearch.workflows.trials import read_trial, replay_trial

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from hpsearch.report.figures.catalogue import Exhibit


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class TrialVerdict:
    """The verdict on a trial: the strongest finding of its diagnosis.

    `cause` is a word such as `healthy` or `diverged_lr`; `evidence` maps statistics to their values; `first_step` is
    the optimizer step (from 0) at which the cause began; `confidence` is in 0..1; `remedy` is a sentence, and
    `suggested` maps keys to the values that it suggests.

    >>> verdict = study.trials[3].verdict
    >>> print(verdict)
    dead_relu_total: Lower the learning rate from ...
    >>> verdict.suggested
    {'learning_rate': ...}
    """

    cause: Cause
    confidence: float
    first_step: int
    evidence: Mapping[str, float]
    remedy: str
    suggested: Mapping[str, ParameterValue]

    def __str__(self) -> str:
        return f"{self.cause}: {self.remedy}"

    def _repr_html_(self) -> str:
        from hpsearch.api.notebook import verdict_card

        return verdict_card(finding_of(self))


def finding_of(verdict: TrialVerdict) -> Finding:
    """Return a verdict as a finding."""
    return Finding(
        cause=verdict.cause,
        confidence=verdict.confidence,
        first_step=verdict.first_step,
        evidence=verdict.evidence,
        remedy=verdict.remedy,
        suggested=verdict.suggested,
    )


def verdict_of(finding: Finding) -> TrialVerdict:
    """Return a finding as a verdict."""
    return TrialVerdict(
        cause=finding.cause,
        confidence=finding.confidence,
        first_step=finding.first_step,
        evidence=dict(finding.evidence),
        remedy=finding.remedy,
        suggested=dict(finding.suggested),
    )


@final
class RecordedTraining:
    """One training, recorded at every step: its verdict, curves and figures.

    >>> training = study.best_trial.replay().original
    >>> sorted(training.curves)
    ['accuracy', 'loss', 'step']
    >>> training.figure_names[:3]
    ('accuracy', 'loss', 'output-weights')
    """

    def __init__(self, recording: Recording, finding: Finding) -> None:
        self._recording = recording
        self._finding = finding

    @property
    def verdict(self) -> TrialVerdict:
        """The verdict from the telemetry."""
        return verdict_of(self._finding)

    @property
    def curves(self) -> dict[str, list[float]]:
        """The numbers of each minibatch before its step: `step`, `loss`, and `accuracy` in classification.

        Long trainings have 4,096 points or fewer, each the middle of the numbers of some steps.
        """
        tracks = {"loss": self._recording.loss, "accuracy": self._recording.accuracy}
        if self._recording.subject.data.task == "regression":
            del tracks["accuracy"]
        middles = {name: (track.low[:, 0] + track.high[:, 0]) / 2 for name, track in tracks.items()}
        return {
            "step": [float(step) for step in self._recording.loss.steps],
            **{name: [float(value) for value in values] for name, values in middles.items()},
        }

    @property
    def figure_names(self) -> tuple[str, ...]:
        """The names that `figure` takes."""
        from hpsearch.api.figures import names_of

        return names_of(self._exhibits())

    @public
    def figure(self, name: str = "loss") -> go.Figure:
        """Return a figure of the network's internals, such as `loss`, `firing` or `weight-gradients`.

        >>> training = study.best_trial.replay().original
        >>> training.figure("weight-gradients").layout.height > 0
        True
        """
        from hpsearch.api.figures import figure_named

        return figure_named(self._exhibits(), text("figure", name))

    def _exhibits(self) -> tuple[Exhibit, ...]:
        from hpsearch.report.figures.replay_catalogue import ReplayRun, replay_exhibits

        return replay_exhibits([ReplayRun(heading="", recording=self._recording, finding=self._finding)])


@final
class StudyTrial:
    """One trial of a study, as it was stored when it was read.

    >>> trial = study.best_trial
    >>> trial.state.value, trial.fate.value, trial.verdict.cause.value
    ('complete', 'complete', 'healthy')
    >>> trial.params
    {'learning_rate': 0...}

    Two objects are equal if they are the same trial of the same study, also if one was read earlier:

    >>> study.best_trial in study.trials
    True
    """

    def __init__(self, access: DatabaseAccess, study: StoredStudy, trial: Trial) -> None:
        self._access = access
        self._study = study
        self._trial = trial

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StudyTrial) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> tuple[str, str | int, int]:
        return self._access.url, self._study.key or self._study.study_id, self.number

    def __repr__(self) -> str:
        value = "" if self.value is None else f", value {self.value:.6g}"
        return f'<Trial {self.number} of "{self._study.name}": {self.fate.value}{value}>'

    def _repr_html_(self) -> str:
        from hpsearch.api.notebook import trial_card

        try:
            curves = self.curves
        except HpsearchError:  # such as a study that was deleted
            curves = {}
        return trial_card(self._study, self._trial, curves)

    @property
    def number(self) -> int:
        """The number of the trial, from 0."""
        return self._trial.number

    @property
    def params(self) -> dict[str, ParameterValue]:
        """The searched values. A list, such as widths of layers, is its JSON text."""
        return dict(self._trial.params)

    @property
    def value(self) -> float | None:
        """The metric of the study, the last one that was reported for a pruned trial; None if there is none."""
        return self._trial.value

    @property
    def values(self) -> tuple[float, ...]:
        """The values of all objectives, if a study of another Optuna client has several."""
        return self._trial.values

    @property
    def spread(self) -> float | None:
        """The standard deviation of the value over the folds of the study (`data.folds`); None without folds."""
        return self._trial.spread

    @property
    def state(self) -> TrialState:
        """Optuna's state: `waiting`, `running`, `complete`, `pruned` or `failed`."""
        return self._trial.state

    @property
    def fate(self) -> Fate:
        """How the trial ended, such as `complete`, `diverged` or `too slow`."""
        return self._trial.fate

    @property
    def verdict(self) -> TrialVerdict | None:
        """The reason for the end; None if there is no verdict yet, or another Optuna client ran the trial."""
        return None if self._trial.finding is None else verdict_of(self._trial.finding)

    @property
    def epochs(self) -> int:
        """The epochs that the trial began."""
        return self._trial.epochs

    @property
    def steps(self) -> int:
        """The steps of the optimizer that it made."""
        return self._trial.steps

    @property
    def worker(self) -> str | None:
        """The worker that trained it."""
        return self._trial.worker

    @property
    def datetime_start(self) -> datetime | None:
        """When it began, in UTC."""
        return self._trial.started

    @property
    def datetime_complete(self) -> datetime | None:
        """When it ended, in UTC."""
        return self._trial.finished

    @property
    def duration(self) -> timedelta | None:
        """The time that it took, as in Optuna; None if it has not ended.

        >>> study.best_trial.duration.total_seconds() > 0
        True
        """
        started, ended = self.datetime_start, self.datetime_complete
        return None if started is None or ended is None else ended - started

    @property
    def intermediate_values(self) -> dict[int, float]:
        """The metric after each epoch, from 0, as in Optuna.

        >>> len(study.best_trial.intermediate_values)
        3
        """
        return dict(sorted(self._trial.curve.items()))

    @property
    @public
    def curves(self) -> dict[str, list[float]]:
        """The series of the trial, one number per finished epoch.

        These are `training_loss`, `validation_loss`, `validation_accuracy` (classification only), `dead_share`,
        `gradient_norm`, `weight_norm`, `logit_max` and `output_range`. A trial that has not ended, or of another Optuna
        client, has its reported values only.

        >>> curves = study.best_trial.curves
        >>> len(curves["training_loss"])
        3
        """
        series = self._access.store.trials.series(self._study, [self.number]).get(self.number)
        if not series and self._trial.curve:
            series = {self._study.spec.metric: list(self.intermediate_values.values())}
        return {name: [float(value) for value in values] for name, values in (series or {}).items()}

    @public
    def to_dict(self) -> JsonObject:
        """Return the JSON object that `hpsearch trial show --format json` prints.

        >>> study.best_trial.to_dict()["verdict"]
        'healthy'
        """
        return trial_with_history(self._trial, self._access.store.trials.attempts(self._study, self.number))

    @public
    def fail(self) -> None:
        """Give up a trial that waits, or that another Optuna client runs.

        >>> study.copy("given-up").enqueue({"learning_rate": 0.1}).fail()

        Raises HpsearchError if it has finished, or a worker of hpsearch trains it.
        """
        self._access.store.queue.fail(self._study, self.number)

    @public
    def retry(self) -> StudyTrial:
        """Let workers train a failed trial's parameters as a new trial, and return that.

        A trial that another Optuna client runs is trained again itself.

        >>> given_up = study.copy("retried").enqueue({"learning_rate": 0.1})
        >>> given_up.fail()
        >>> given_up.retry().state.value
        'waiting'

        Raises HpsearchError if it is complete, or a worker of hpsearch trains it.
        """
        store = self._access.store
        retried = store.queue.retry(self._study, self.number)
        return StudyTrial(self._access, self._study, store.trials.get(self._study, retried.number))

    @public
    def replay(
        self, settings: Mapping[str, Value] | None = None, *, epochs: int | None = None
    ) -> TrialReplay:
        """Train the trial again, check it against the stored results, and return the recording.

        With `settings`, such as `{"learning_rate": 0.01}`, train it with these too.

        >>> replay = study.best_trial.replay()
        >>> replay.identical
        True
        """
        listener = listener_of(progress=False)
        given = {} if settings is None else table("settings", settings)
        asked = {full_name(name): raw_choice(value) for name, value in given.items()}
        epochs = optional_whole_number("epochs", epochs, most=MOST_EPOCHS)
        stored = read_trial(self._access.store, self._study.name, self.number, notify=listener.notify)
        made = replay_trial(stored, ReplayRequest(epochs=epochs, settings=asked), listener=listener)
        return TrialReplay(made, url=self._access.url)

    @public
    def model(
        self,
        *,
        on: TrainedOn = "training",
        allow_pruned: bool = False,
        allow_difference: bool = False,
    ) -> Model:
        """Train the trial again, check it bit for bit against the stored results, and return its model.

        With `on="all"` it is then trained on training and validation part together, and the model has those weights.
        With `allow_pruned` a pruned trial has the model of its last whole epoch. With `allow_difference` the training
        may differ from the stored one, as on a machine with another BLAS; `Model.verified` is then False.

        >>> model = study.best_trial.model()
        >>> model.verified, model.value == study.best_value
        (True, True)

        Raises HpsearchError if the trial is not complete, or its training differs.
        """
        stored = read_trial(self._access.store, self._study.name, self.number)
        fitted = fit_again(stored, on=on, allow_pruned=allow_pruned, allow_difference=allow_difference)
        return Model(fitted.model)


@final
class TrialReplay:
    """A trial that was trained again, alone, checked against the stored results, and recorded at every step.

    `original` is that training; `altered` is the one with other settings, or None.

    >>> replay = study.best_trial.replay({"learning_rate": 100.0})
    >>> replay.identical
    True
    >>> print(replay.original.verdict.cause, replay.altered.verdict.cause)
    healthy dead_relu_total
    """

    def __init__(self, replay: Replay, *, url: str) -> None:
        self._replay = replay
        self._url = url
        self.original = RecordedTraining(replay.original.recording, replay.original.verdict.primary)
        self.altered = (
            None
            if replay.altered is None
            else RecordedTraining(replay.altered.recording, replay.altered.verdict.primary)
        )

    def __repr__(self) -> str:
        stored = self._replay.stored
        return (
            f'<replay of trial {stored.trial.number} of "{stored.study.name}": {self.original.verdict.cause}>'
        )

    @property
    def identical(self) -> bool | None:
        """True if the replay reproduced all stored numbers, bit for bit; None if nothing is stored to compare with."""
        check = self._replay.check
        return check.difference is None if check.numbers else None

    @property
    def verdict(self) -> TrialVerdict:
        """The verdict of the original training."""
        return self.original.verdict

    @property
    def curves(self) -> dict[str, list[float]]:
        """The curves of the original training, by step."""
        return self.original.curves

    @public
    def to_dict(self) -> JsonObject:
        """Return the JSON object that `hpsearch trial replay --format json` prints, without the path of the page.

        >>> study.best_trial.replay().to_dict()["identical"]
        True
        """
        return replay_object(self._replay)

    @public
    def figure(self, name: str = "loss") -> go.Figure:
        """Return a figure of the original training, as `RecordedTraining.figure`.

        >>> study.best_trial.replay().figure("firing").layout.height > 0
        True
        """
        return self.original.figure(name)

    @public
    def report(self, path: FilePath | None = None) -> Path:
        """Write the page that shows every step, by default next to the reports, and return its path.

        >>> study.best_trial.replay().report("replay.html").name
        'replay.html'
        """
        return write_replay_page(self._replay, None if path is None else file_path("report", path), self._url)
