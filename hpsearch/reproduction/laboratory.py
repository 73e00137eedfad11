"""Where experiments run: their data, their size, and the seed of their trials."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias, final

from threadpoolctl import threadpool_limits

from hpsearch.data.prepare import Fold, PreparedData, prepare
from hpsearch.nn.arrays import Array
from hpsearch.reproduction.runs import Run, train
from hpsearch.study.spec import Configuration, DataSpec, ModelSpec, Precision, TrainingSpec
from hpsearch.training.cohort import never
from hpsearch.training.held_back import Evaluation, evaluate
from hpsearch.training.recording import Recording, Subject, Watch, record

Size: TypeAlias = Literal["small", "quick", "full"]
Source: TypeAlias = Literal["mnist", "digits"]

CURVE_EXAMPLES: Final = 500
"""Held-back examples that are asked after every epoch of trainings with many short epochs."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Lab:
    """How experiments are run: on which data, how many seeds, from which seed on.

    `small` is a tiny version of everything, for tests: one or two seeds and a few steps.
    """

    source: Source
    size: Size
    seed: int
    is_interrupted: Callable[[], bool] = never

    def pick(self, *, small: int, quick: int, full: int) -> int:
        """Return the number that belongs to the size."""
        return {"small": small, "quick": quick, "full": full}[self.size]

    @property
    def seeds(self) -> int:
        """How many seeds the experiments of the articles have."""
        return self.pick(small=2, quick=10, full=20)

    def data(
        self,
        *,
        examples: int | None = None,
        precision: Precision = "float32",
        is_curve: bool = False,
        **settings: Any,
    ) -> PreparedData:
        """Return the data: all training images, or `examples` drawn from them, and the held-back ones.

        MNIST holds back its own 10,000; digits a fifth. With `is_curve` a few of those stand in for all, after each
        epoch. `settings` are further ones of a study's data.
        """
        own = _prepared(self.source, self.seed, examples, precision, tuple(settings.items()))
        if not is_curve:
            return own
        few = Fold(
            inputs=own.validation.inputs[:CURVE_EXAMPLES], targets=own.validation.targets[:CURVE_EXAMPLES]
        )
        return replace(own, validation=few)

    def train(
        self, configurations: Sequence[Configuration], data: PreparedData, *, steps: int | None = None
    ) -> list[Run]:
        """Return the runs of `configurations`: trial n is the n-th."""
        return train(
            configurations, data, seed=self.seed, steps=steps, is_interrupted=self.is_interrupted
        )

    def record(self, run: Run, data: PreparedData, *, watch: Watch | None = None) -> Recording:
        """Return the replay of a run of these data: the same trial again, seen from the inside."""
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
            return record(subject, watch=watch, until_step=steps, is_interrupted=self.is_interrupted)


def held_back(run: Run, data: PreparedData) -> Evaluation:
    """Return how a run did in the end on the examples that were held back."""
    return evaluate(run.network, run.final, data.validation)


def accuracy_on(run: Run, fold: Fold) -> float:
    """Return the share of right answers of a run, in the end, in evaluation mode."""
    accuracy = evaluate(run.network, run.final, fold).accuracy
    return float("nan") if accuracy is None else accuracy


def configuration(model: ModelSpec, **training: Any) -> Configuration:
    """Return a configuration with cross-entropy where the model names no loss."""
    known = replace(model, loss="cross_entropy") if model.loss == "auto" else model
    return Configuration(model=known, training=TrainingSpec(**training))


def parameters_of(run: Run) -> Sequence[Array]:
    """Return the biases of each dense layer (O,) in the end, input side first."""
    return [view.b[0] for view in run.network.views(run.final.parameters[None])]


@lru_cache(2)
def _prepared(
    source: Source, seed: int, examples: int | None, precision: Precision, settings: tuple[tuple[str, Any], ...]
) -> PreparedData:
    sealed = {"sealed": "validation"} if source == "mnist" else {}
    spec = DataSpec(source=source, examples=examples, **{**sealed, **dict(settings)})
    return prepare(spec, seed=seed, precision=precision, environment=os.environ)
