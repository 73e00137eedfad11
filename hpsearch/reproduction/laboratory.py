"""The laboratory of the experiments: their data, size and seed, and trainings with measurements of every minibatch."""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, final

import numpy as np
from threadpoolctl import threadpool_limits

from hpsearch.data.prepare import DataPart, PreparedData, prepare
from hpsearch.errors import HpsearchError
from hpsearch.nn.arrays import Array
from hpsearch.nn.network import Network
from hpsearch.reproduction.charts import Picture
from hpsearch.study.configurations import params_of_trial
from hpsearch.study.files import example_files
from hpsearch.study.reader import read_study
from hpsearch.study.spec import (
    Configuration,
    DataSpec,
    Precision,
    StudySpec,
    configure,
    resolve,
    with_target_scale,
)
from hpsearch.telemetry import Epoch
from hpsearch.training.cohort import Cohort
from hpsearch.training.evaluation import NetworkEvaluation, evaluate
from hpsearch.training.loop import train_to_step
from hpsearch.training.recording import Recording, RecordingOptions, Subject, record
from hpsearch.training.row import Shape, by_shape
from hpsearch.training.workspace import Lane, NetworkSnapshot
from hpsearch.worker.preparation import PreparedStudy

MOST_ROWS: Final = 20
LAST_STEPS: Final = 50
"""Number of final minibatches over which training accuracies and losses are averaged."""


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Run:
    """One trained trial: `number` of the study with that seed.

    For each of S steps, on its minibatch before the update: the mean `loss` (S,), the `accuracy` (S,), NaN in
    regression, and the shares of hidden units that were positive for no example, `silent` (S, H). `first_logits` (B, C)
    are those of step 0. `epochs` are the finished ones, `final` is the state after training.
    """

    configuration: Configuration
    number: int
    network: Network
    loss: Array
    accuracy: Array
    silent: Array
    first_logits: Array
    epochs: tuple[Epoch, ...]
    final: NetworkSnapshot

    @property
    def nan_step(self) -> int | None:
        """The first step whose loss was NaN; None if there is none. A run can recover from an infinite loss."""
        broken = np.flatnonzero(np.isnan(self.loss))
        return int(broken[0]) if len(broken) else None

    @property
    def last_accuracy(self) -> float:
        """The mean accuracy of the last minibatches."""
        return float(self.accuracy[-LAST_STEPS:].mean())

    @property
    def last_loss(self) -> float:
        """The mean loss of the last minibatches."""
        return float(self.loss[-LAST_STEPS:].mean())

    @property
    def last_silent(self) -> float:
        """The mean share of hidden units that were silent on the last minibatches, over all layers."""
        return float(self.silent[-LAST_STEPS:].mean())


def train(
    trials: Mapping[int, Configuration],
    data: PreparedData,
    *,
    seed: int,
    steps: int | None = None,
) -> dict[int, Run]:
    """Return the runs of `trials`, by their numbers, trained for `steps` or all their epochs.

    Those with one shape and equally many steps share cohorts of at most `MOST_ROWS`. Their numbers equal those of a
    worker (law 1). NaN does not end a run.
    """
    lengths: dict[int, dict[int, Configuration]] = {}
    for number, configuration in trials.items():
        length = _steps(configuration, data) if steps is None else steps
        lengths.setdefault(length, {})[number] = configuration
    found: dict[int, Run] = {}
    with threadpool_limits(limits=1):
        for length, group in lengths.items():
            for shape, chosen in by_shape(group, rows=MOST_ROWS):
                found |= _train(shape, chosen, data, seed=seed, steps=length)
    return found


def _steps(configuration: Configuration, data: PreparedData) -> int:
    training = configuration.training
    return training.epochs * -(-len(data.training.inputs) // training.batch_size)


def _train(
    shape: Shape,
    chosen: Mapping[int, Configuration],
    data: PreparedData,
    *,
    seed: int,
    steps: int,
) -> dict[int, Run]:
    watcher = _Watcher(rows=len(chosen), steps=steps)
    cohort = Cohort(shape, data, capacity=len(chosen), seed=seed, observer=watcher)
    epochs = -(-steps // cohort.steps_per_epoch)
    for number, configuration in chosen.items():
        training = replace(configuration.training, epochs=epochs)
        cohort.join(number, replace(configuration, training=training))
    train_to_step(cohort, steps)
    return {
        number: Run(
            configuration=configuration,
            number=number,
            network=cohort.network,
            loss=watcher.loss[:, row],
            accuracy=watcher.accuracy[:, row],
            silent=np.stack([layer[:, row] for layer in watcher.silent], axis=1),
            first_logits=watcher.first_logits[row],
            epochs=tuple(cohort.telemetry(number).epochs),
            final=NetworkSnapshot(
                steps=steps, parameters=cohort.parameters(number), running=cohort.running(number)
            ),
        )
        for row, (number, configuration) in enumerate(chosen.items())
    }


@final
class _Watcher:
    """Records each step of a cohort whose rows all have one age and stay to the end."""

    def __init__(self, *, rows: int, steps: int) -> None:
        self.step = 0
        self.loss = np.full((steps, rows), np.nan)
        self.accuracy = np.full((steps, rows), np.nan)
        self.silent: list[Array] = []
        self.first_logits = np.empty(0)

    def after_forward(self, lane: Lane) -> None:
        """Record the accuracies and the silent units."""
        hidden = lane.batch.blocks[:-1]
        if not self.silent:
            self.first_logits = lane.batch.logits.copy()
            self.silent = [np.full(self.loss.shape, np.nan) for _ in hidden]
        for layer, buffers in zip(self.silent, hidden, strict=True):
            layer[self.step] = 1 - (buffers.y.max(axis=1) > 0).mean(axis=1)
        logits, targets = lane.batch.logits, lane.batch.t
        self.accuracy[self.step] = (logits.argmax(axis=2) == targets.argmax(axis=2)).mean(axis=1)

    def after_backward(self, lane: Lane, losses: Array, scale: Array) -> None:
        """Record the losses, and the end of the step."""
        self.loss[self.step] = losses
        self.step += 1


Size: TypeAlias = Literal["small", "quick", "full"]
Source: TypeAlias = Literal["mnist", "digits"]

_SMALL_STEPS: Final = 20
_MOST_DIGITS: Final = 1797

CURVE_EXAMPLES: Final = 500
"""Held-back examples evaluated after every epoch of trainings with many short epochs."""


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Trained:
    """The result of a study: its data, and the runs of each of its configurations, by name, one per seed."""

    spec: StudySpec
    data: PreparedData
    runs: Mapping[str, Sequence[Run]]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Extent:
    """The part of a study that runs unless the lab is full: at most `seeds` seeds, and `steps` of each trial.

    `is_curve` evaluates a few held-back examples instead of all after each epoch, for many short epochs.
    """

    seeds: int
    steps: int | None = None
    is_curve: bool = False


Values: TypeAlias = Mapping[str, Sequence[float]]
"""An experiment's measurements, by name: one number per seed, NaN for a seed without one."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """The outcome of one study's experiment: numbers by name, pictures, and lines of text for the page."""

    study: str
    values: Values
    pictures: tuple[Picture, ...] = ()
    lines: Mapping[str, Sequence[str]] = field(default_factory=dict)
    seconds: float = 0.0


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Lab:
    """The data, size and seed of the experiments, for all trials of a study.

    `small` is a tiny version of everything, for tests: one seed and a few steps.
    """

    source: Source
    size: Size
    seed: int

    def pick(self, *, small: int, quick: int, full: int) -> int:
        """Return the number for the lab's size."""
        return {"small": small, "quick": quick, "full": full}[self.size]

    def study(self, name: str) -> StudySpec:
        """Return the study of that name, with the lab's seed and data in place of its own."""
        spec = read_study(study_file(name))
        return replace(spec, seed=self.seed, data=self._data_spec(spec.data))

    def _data_spec(self, data: DataSpec) -> DataSpec:
        if data.source != "mnist" or self.source == "mnist":
            return data
        few = data.examples if (data.examples or 0) < _MOST_DIGITS else None
        return replace(data, source=self.source, sealed="test", examples=few)

    def prepare(self, spec: StudySpec) -> PreparedStudy:
        """Return a study with its data, which is read once for all studies with the same data."""
        spec = with_target_scale(spec)
        data = _prepared(spec.data, spec.seed, spec.training.precision)
        return PreparedStudy(spec=resolve(spec, task=data.task), data=data)

    def run(self, name: str, extent: Extent, *, only: Collection[str] = (), **changes: Any) -> Trained:
        """Train the study of that name; trial n trains as in `study run` with the lab's seed.

        `only` restricts the run to the named configurations; `changes` replace fields of the study's [training].
        """
        spec = self.study(name)
        study = self.prepare(replace(spec, training=replace(spec.training, **changes)))
        data = with_few(study.data) if extent.is_curve else study.data
        names = [exact.name for exact in spec.configurations]
        numbers = {
            own: range(place, len(names) * self.seeds(spec, extent), len(names))
            for place, own in enumerate(names)
            if not only or own in only
        }
        trials = {
            n: configure(study.spec, params_of_trial(study.spec, n)) for own in numbers.values() for n in own
        }
        runs = self.train(trials, data, steps=self.steps(extent))
        named = {own: [runs[n] for n in chosen] for own, chosen in numbers.items()}
        return Trained(spec=study.spec, data=study.data, runs=named)

    def seeds(self, spec: StudySpec, extent: Extent) -> int:
        """Return the number of seeds that each configuration of a study has here."""
        own = spec.trials // len(spec.configurations)
        return {"small": 1, "quick": min(extent.seeds, own), "full": own}[self.size]

    def steps(self, extent: Extent) -> int | None:
        """Return the number of steps that end trials here; None trains all epochs."""
        return {"small": _SMALL_STEPS, "quick": extent.steps, "full": None}[self.size]

    def train(
        self, trials: Mapping[int, Configuration], data: PreparedData, *, steps: int | None = None
    ) -> dict[int, Run]:
        """Return the runs of `trials`, by their numbers."""
        return train(trials, data, seed=self.seed, steps=steps)

    def record(self, run: Run, data: PreparedData, *, watch: RecordingOptions | None = None) -> Recording:
        """Return the replay of a run of these data: the same trial again, with its internals recorded."""
        steps = len(run.loss)
        epochs = -(-steps // -(-len(data.training.inputs) // run.configuration.training.batch_size))
        training = replace(run.configuration.training, epochs=epochs)
        subject = Subject(
            configuration=replace(run.configuration, training=training),
            data=data,
            seed=self.seed,
            number=run.number,
        )
        with threadpool_limits(limits=1):
            return record(subject, watch=watch, until_step=steps)


def held_back(run: Run, data: PreparedData) -> NetworkEvaluation:
    """Return a run's final evaluation on the held-back examples."""
    return evaluate(run.network, run.final, data.validation)


def accuracy_on(run: Run, part: DataPart) -> float:
    """Return a run's final share of right answers, in evaluation mode."""
    accuracy = evaluate(run.network, run.final, part).accuracy
    return float("nan") if accuracy is None else accuracy


def biases_of(run: Run) -> Sequence[Array]:
    """Return the final biases (O,) of each dense layer, input side first."""
    return [view.b[0] for view in run.network.views(run.final.parameters[None])]


def study_file(name: str) -> Path:
    """Return the path of the example study file of that name. Raises HpsearchError if it is not installed."""
    if (path := example_files().get(name)) is None:
        raise HpsearchError(
            f"{name}.toml: must be among the study files of hpsearch (got none): install it again"
        )
    return path


def with_few(data: PreparedData) -> PreparedData:
    """Return the data with a few of the held-back examples in place of all."""
    own = data.validation
    few = DataPart(inputs=own.inputs[:CURVE_EXAMPLES], targets=own.targets[:CURVE_EXAMPLES])
    return replace(data, validation=few)


@lru_cache(2)
def _prepared(data: DataSpec, seed: int, precision: Precision) -> PreparedData:
    return prepare(data, seed=seed, precision=precision, environment=os.environ)
