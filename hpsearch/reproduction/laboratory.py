"""The settings of experiments: their data, their size, and the seed of their trials."""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, final

from threadpoolctl import threadpool_limits

from hpsearch.data.prepare import Fold, PreparedData, prepare
from hpsearch.errors import HpsearchError
from hpsearch.nn.arrays import Array
from hpsearch.reproduction.runs import Run, train
from hpsearch.study.configurations import params_of_trial
from hpsearch.study.files import example_files
from hpsearch.study.reader import read_study
from hpsearch.study.spec import Configuration, DataSpec, Precision, StudySpec, configure, resolve
from hpsearch.training.evaluation import NetworkEvaluation, evaluate
from hpsearch.training.recording import Recording, RecordingOptions, Subject, record
from hpsearch.worker.preparation import PreparedStudy

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


def accuracy_on(run: Run, fold: Fold) -> float:
    """Return a run's final share of right answers, in evaluation mode."""
    accuracy = evaluate(run.network, run.final, fold).accuracy
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
    few = Fold(inputs=own.inputs[:CURVE_EXAMPLES], targets=own.targets[:CURVE_EXAMPLES])
    return replace(data, validation=few)


@lru_cache(2)
def _prepared(data: DataSpec, seed: int, precision: Precision) -> PreparedData:
    return prepare(data, seed=seed, precision=precision, environment=os.environ)
