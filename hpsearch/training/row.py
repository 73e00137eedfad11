"""One trial's place in a cohort, and the trials that can share one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, final

import numpy as np

from hpsearch.nn.arrays import Array
from hpsearch.study.spec import Configuration, Initializer, ModelSpec, TrainingSpec
from hpsearch.telemetry import Epoch, NonFinite, Sample, Telemetry
from hpsearch.training.sampling_schedule import alarm_streak, is_alarming, next_sample_step

WEIGHTS_STREAM = 2
DROPOUT_STREAM = 3
"""Second words of the seeds of a trial's streams; the first is the study's seed, the third the trial's number."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """The shape that all trials of one cohort share. Everything else may differ from row to row."""

    model: ModelSpec
    training: TrainingSpec


def shape_of(configuration: Configuration) -> Shape:
    """Return the shape of the cohorts in which `configuration` can train.

    Rates, the number of epochs and the initializer belong to the row; so does the share of dropped units, unless
    evaluation multiplies by it.
    """
    model = configuration.model
    is_own = model.dropout > 0 and model.dropout_scaling == "training"
    own = TrainingSpec()
    return Shape(
        model=replace(
            model,
            initializer=Initializer(),
            dropout=0.5 if is_own else model.dropout,
        ),
        training=replace(
            configuration.training,
            epochs=own.epochs,
            learning_rate=own.learning_rate,
            weight_decay=own.weight_decay,
            momentum=own.momentum,
            keep=own.keep,
        ),
    )


def by_shape(
    configurations: Mapping[int, Configuration], *, rows: int
) -> Iterator[tuple[Shape, dict[int, Configuration]]]:
    """Yield the shapes of `configurations` (number -> configuration), each with at most `rows` that have it."""
    shapes: dict[Shape, list[int]] = {}
    for number, configuration in configurations.items():
        shapes.setdefault(shape_of(configuration), []).append(number)
    for shape, numbers in shapes.items():
        for first in range(0, len(numbers), rows):
            yield shape, {number: configurations[number] for number in numbers[first : first + rows]}


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RowState:
    """The state of one trial between two steps, as copies: with it, training goes on to the same bits.

    `dropout` is the state of the generator of masks; `arrays` are the trial's rows of its cohort's arrays by name. The
    other fields are those of `Row`.
    """

    age: int
    next_sample_at: int
    alarms: int
    loss_sum: float
    dropout: Mapping[str, Any]
    samples: Sequence[Sample]
    epochs: Sequence[Epoch]
    nonfinite: NonFinite | None
    arrays: Mapping[str, Array]


@final
@dataclass(kw_only=True, slots=True)
class Row:
    """One trial in training. Only its cohort changes it.

    `age` is the number of steps made; `next_sample_at` the step of its next sample; `loss_sum` the sum of this epoch's
    losses over examples; `alarms` the number of alarming samples in a row; `cycle` the number of steps after which the
    same minibatches follow again, 1 if they never do.
    """

    number: int
    configuration: Configuration
    dropout: np.random.Generator
    cycle: int = 1
    age: int = 0
    next_sample_at: int = 0
    alarms: int = 0
    loss_sum: float = 0.0
    samples: list[Sample] = field(default_factory=list)
    epochs: list[Epoch] = field(default_factory=list)
    nonfinite: NonFinite | None = None

    def add_sample(self, sample: Sample) -> None:
        """Store `sample`, and set the step of the next one: at once during alarms, up to a limit."""
        self.samples.append(sample)
        self.alarms = self.alarms + 1 if is_alarming(sample) else 0
        if 0 < self.alarms < alarm_streak(max(1, sample.examples)):
            self.next_sample_at = sample.step + 1
        else:
            self.alarms = 0
            self.next_sample_at = next_sample_step(sample.step, cycle=self.cycle)

    def state(self, arrays: Mapping[str, Array]) -> RowState:
        """Return the row's state with its `arrays`."""
        return RowState(
            age=self.age,
            next_sample_at=self.next_sample_at,
            alarms=self.alarms,
            loss_sum=self.loss_sum,
            dropout=self.dropout.bit_generator.state,
            samples=tuple(self.samples),
            epochs=tuple(self.epochs),
            nonfinite=self.nonfinite,
            arrays=arrays,
        )

    def restore(self, state: RowState) -> None:
        """Go on from `state`, in place."""
        self.age, self.next_sample_at, self.alarms = state.age, state.next_sample_at, state.alarms
        self.loss_sum, self.nonfinite = state.loss_sum, state.nonfinite
        self.dropout.bit_generator.state = state.dropout
        self.samples, self.epochs = list(state.samples), list(state.epochs)

    @property
    def telemetry(self) -> Telemetry:
        """All measurements so far. The lists inside grow with the row."""
        return Telemetry(steps=self.age, samples=self.samples, epochs=self.epochs, nonfinite=self.nonfinite)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """A new observation of one trial: a sample, its first non-finite number, or the end of an epoch.

    `is_finished` is True if the trial has trained all its epochs; its row waits for `Cohort.leave`. If a trial is
    trained on several folds, `folds` are the measurements on each, and `fold` is the place of the one with the new
    observation; `telemetry` then has the means.
    """

    number: int
    telemetry: Telemetry
    ended_epoch: bool
    is_finished: bool
    folds: tuple[Telemetry, ...] = ()
    fold: int = 0

    @property
    def measured(self) -> tuple[Telemetry, ...]:
        """The measurements of each training of the trial: on each fold, or the only one."""
        return self.folds or (self.telemetry,)
