"""Training recipes side by side, and the truth about how each ended, taken from its last parameters."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final, final

import numpy as np

from hpsearch.data.description import facts_of
from hpsearch.data.prepare import PreparedData
from hpsearch.diagnosis.facts import chance_loss
from hpsearch.nn.arrays import Array
from hpsearch.study.spec import Configuration
from hpsearch.telemetry import Epoch, Sample, Telemetry
from hpsearch.training.cohort import Cohort
from hpsearch.training.examples import Examples
from hpsearch.training.row import Observation, Shape, shape_of
from hpsearch.training.sampling_schedule import next_sample_step
from hpsearch.training.workspace import State, Workspace

MOST_ROWS: Final = 32
LOOKED_AT: Final = 1000
"""Training examples on which units are looked at when a run begins and when it has ended."""

MOST_SAMPLES: Final = 160
"""Samples after which a run keeps those of the regular rhythm only: a net that stays dead is looked at all the time.

That is room for the longest stretch of alarms, 120 samples where minibatches have 10 examples, and what came before it.
"""

SIGMOID_FLAT: Final = 1 / (1 + np.exp(5.0))
TANH_FLAT: Final = np.tanh(2.5)
ELU_FLAT: Final = np.expm1(-5.0)
SELU_FLAT: Final = 1.0507009873554805 * 1.6732632423543772 * ELU_FLAT


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """One run to be made: trial `number` of a study with that seed, its data and configuration."""

    data: PreparedData
    configuration: Configuration
    study_seed: int
    number: int


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Units:
    """The hidden units of a network on LOOKED_AT training examples, in evaluation mode; one share per layer.

    `dead` are units that are not positive for any example. `saturated` are (unit, example) pairs on a flat part, for
    ELU and SELU units that are below -5 for more than 99 % of the examples.
    """

    dead: tuple[float, ...]
    saturated: tuple[float, ...]
    is_finite: bool


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What was measured while a recipe was trained, and how it ended.

    `first` and `last` are its units before the first step and after the last. `fit_loss` is that of the first
    LOOKED_AT training examples in evaluation mode; `top_share` is the share of the answer that is given most often on
    as many of the validation part (NaN in regression).
    """

    recipe: Recipe
    telemetry: Telemetry
    first: Units
    last: Units
    fit_loss: float
    top_share: float

    @property
    def final(self) -> Epoch:
        """The last epoch."""
        return self.telemetry.epochs[-1]

    @property
    def is_finite(self) -> bool:
        """Return True if neither the losses nor the parameters ever held NaN or infinity."""
        return self.telemetry.nonfinite is None and self.last.is_finite and bool(np.isfinite(self.fit_loss))

    @property
    def chance(self) -> float:
        """The loss of a network that has learned nothing."""
        return chance_loss(self.recipe.configuration.model.loss, facts_of(self.recipe.data))


def train(recipes: Sequence[Recipe]) -> list[Outcome]:
    """Return what became of each recipe, in their order; those of one shape and data are trained side by side."""
    outcomes: dict[int, Outcome] = {}
    keyed = sorted(range(len(recipes)), key=lambda i: (_company(recipes[i]), i))
    for _, group in groupby(keyed, key=lambda i: _company(recipes[i])):
        members = list(group)
        outcomes.update(zip(members, _train_together([recipes[i] for i in members]), strict=True))
    return [outcomes[i] for i in range(len(recipes))]


def _company(recipe: Recipe) -> tuple[int, int, str]:
    return recipe.study_seed, id(recipe.data), repr(shape_of(recipe.configuration))


def _train_together(recipes: Sequence[Recipe]) -> list[Outcome]:
    shape, data = shape_of(recipes[0].configuration), recipes[0].data
    cohort = Cohort(shape, data, capacity=min(MOST_ROWS, len(recipes)), seed=recipes[0].study_seed)
    glass = _Glass(shape, data, cohort)
    waiting = {recipe.number: recipe for recipe in reversed(recipes)}
    if len(waiting) < len(recipes):
        raise ValueError("two recipes of one cohort must have different numbers")
    everyone, first, outcomes = dict(waiting), {}, {}
    while waiting or cohort.numbers:
        while waiting and cohort.free:
            number, recipe = waiting.popitem()
            cohort.join(number, recipe.configuration)
            first[number] = glass.units(number)
        for observation in cohort.advance():
            if _is_over(observation):
                number = observation.number
                outcomes[number] = glass.outcome(everyone[number], observation, first[number])
                cohort.leave(number)
    return [outcomes[recipe.number] for recipe in recipes]


def _is_over(observation: Observation) -> bool:
    """True at the end, and at the end of the epoch after the first number that is not finite."""
    nonfinite = observation.telemetry.nonfinite
    return observation.is_finished or (nonfinite is not None and observation.ended_epoch)


@final
class _Glass:
    """Looks into single rows of a cohort with examples of its own."""

    def __init__(self, shape: Shape, data: PreparedData, cohort: Cohort) -> None:
        self._cohort = cohort
        self._activation = shape.model.activation
        self._network = network = cohort.network
        outputs = network.blocks[-1].dense.outputs
        training = Examples(data.training, outputs=outputs)
        self._folds = (training, Examples(data.validation, outputs=outputs))
        dtype = cohort._state.parameters.dtype
        self._state = State(
            parameters=np.zeros((1, network.parameters), dtype),
            optimizer=(),
            running=np.zeros((1, network.statistics), dtype),
        )
        most = min(LOOKED_AT, max(len(fold) for fold in self._folds))
        self._workspace = Workspace(network, self._state, examples=most)

    def units(self, number: int) -> Units:
        """Return the units of trial `number` as they are now."""
        return next(self._looks(number))[0]

    def outcome(self, recipe: Recipe, observation: Observation, first: Units) -> Outcome:
        """Return the outcome of a trial that has ended and is still in its row."""
        (last, fit_loss, _), (_, _, top_share) = self._looks(recipe.number)
        return Outcome(
            recipe=recipe,
            telemetry=_kept(observation.telemetry),
            first=first,
            last=last,
            fit_loss=fit_loss,
            top_share=top_share,
        )

    def _looks(self, number: int) -> Iterator[tuple[Units, float, float]]:
        """Yield for the training part and then the validation part: units, loss, share of the top answer."""
        row = self._cohort.numbers.index(number)
        self._state.parameters[0] = self._cohort._state.parameters[row]
        self._state.running[0] = self._cohort._state.running[row]
        is_finite = bool(np.isfinite(self._state.parameters).all())
        for fold in self._folds:
            count = min(LOOKED_AT, len(fold))
            lane = self._workspace.lane(0, 1, count, shared_inputs=True)
            batch = replace(lane.batch, x=fold.inputs[None, :count], t=fold.targets(0, count))
            with np.errstate(all="ignore"):
                self._network.evaluate(lane.parameter_views, batch)
                hidden = [block.y[0] for block in batch.blocks[:-1]]
                units = Units(
                    dead=tuple(float((~(y > 0).any(axis=0)).mean()) for y in hidden),
                    saturated=tuple(_saturated(self._activation, y) for y in hidden),
                    is_finite=is_finite,
                )
                top_share = _top_share(batch.logits[0], fold.labels)
                losses = self._network.loss.evaluate(batch.logits, batch.t, lane.output_scratch)
                yield units, float(losses.mean()), top_share


def _top_share(logits: Array, labels: Array | None) -> float:
    """Return the share of the most frequent answer; NaN if there are no classes."""
    if labels is None:
        return float("nan")
    answers = logits[:, 0] > 0 if logits.shape[1] == 1 else logits.argmax(axis=1)
    _, counts = np.unique(answers, return_counts=True)
    return float(counts.max() / len(answers))


def _saturated(activation: str, y: Array) -> float:
    """Return the share of saturated pairs of activations `y` (B, O), or of units for ELU and SELU; else 0."""
    flat: dict[str, Callable[[Array], Array]] = {
        "sigmoid": lambda y: (y < SIGMOID_FLAT) | (y > 1 - SIGMOID_FLAT),
        "tanh": lambda y: np.abs(y) > TANH_FLAT,
        "elu": lambda y: (y < ELU_FLAT).mean(axis=0) > 0.99,
        "selu": lambda y: (y < SELU_FLAT).mean(axis=0) > 0.99,
    }
    return float(flat[activation](y).mean()) if activation in flat else 0.0


def _kept(telemetry: Telemetry) -> Telemetry:
    """Return a copy that keeps the first MOST_SAMPLES samples, and of the others those of the regular rhythm."""
    kept: list[Sample] = []
    due = 0
    for sample in telemetry.samples:
        if len(kept) < MOST_SAMPLES or sample.step >= due:
            kept.append(sample)
            due = next_sample_step(sample.step)
    return Telemetry(
        steps=telemetry.steps,
        samples=kept,
        epochs=list(telemetry.epochs),
        nonfinite=telemetry.nonfinite,
    )
