"""What is done to one base, after its learning rates are known: the best, and the first that it cannot bear."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar, final

import numpy as np

from hpsearch.data.prepare import PreparedData
from tests.benchmarks.diagnosis.bases import Base, within_steps
from tests.benchmarks.diagnosis.injections import (
    DOUBLE,
    INJECTIONS,
    SECOND_SEVERITY,
    configuration_of,
    data_of,
)
from tests.benchmarks.diagnosis.training import Outcome, Recipe, train

Thing = TypeVar("Thing")

GRID: Final = tuple(float(f"{10 ** (exponent / 2):.3g}") for exponent in range(-11, 3))
"""Learning rates of which each base gets the best, 10^-5.5 to 10."""

ALIKE: Final = 1.1
LADDER: Final = tuple(10 ** (exponent / 4) for exponent in range(1, 19))
SAFETY: Final = 3.0
"""A sound learning rate stays so many times below the limit: the best one is often just short of it."""

LADDER_STEPS: Final = 300
SLOW: Final = (1e-6, 1e-5, 1e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7)
NEAR: Final = (0.5, 0.7, 0.85, 0.93, 1.0, 1.07, 1.15, 1.4)
FAR: Final = (2.0, 4.0, 10.0, 30.0, 100.0, 1000.0)
"""Factors on the largest learning rate that a base bears."""

MOST_SLOW: Final = 5
MOST_FAR: Final = 3
MOST_DOUBLES: Final = 4
"""Rates below and far above what a base bears, and double faults, that one base is given."""

DOUBLES: Final = (
    ("learning_rate", 1e-4, "validation_shuffled"),
    ("learning_rate", 1e-3, "labels_shuffled"),
    ("learning_rate", 1e-4, "multiplied_inputs"),
    ("learning_rate", 1e-3, "loss_pair"),
    ("learning_rate", 1e-3, "output_bounds"),
    ("weight_decay", 1.0, "validation_shuffled"),
    ("multiplied_inputs", 255.0, "validation_shuffled"),
    ("multiplied_inputs", 64.0, "labels_shuffled"),
    ("small_weights", 0.03, "labels_shuffled"),
    ("whole_inputs", 1.004, "weight_decay"),
    ("summed_gradients", 1.0, "multiplied_inputs"),
    ("normal_weights", 0.0, "labels_shuffled"),
)
"""Two faults at once: the first with its severity, the second with that of SECOND_SEVERITY."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One run to be made: what is done to the base, how much, and which draw of the weights."""

    injection: str
    severity: float
    draw: int

    @property
    def number(self) -> int:
        """The trial's number, from which its weights follow; no two cases of a base share one."""
        return zlib.crc32(f"{self.injection} {self.severity!r} {self.draw}".encode())


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Rates:
    """A base's learning rates: the best of the grid, the `sound` one it is trained with, and its limit.

    `limit` is how many times the sound rate the first one is that it cannot bear.
    """

    best: float
    sound: float
    limit: float


def rates_of(base: Base) -> Rates | None:
    """Return the learning rates of a base; None if it learns with none of the grid."""
    best = _best_rate(base)
    if best is None:
        return None
    coarse = _first_failure(base, best, LADDER)
    fine = tuple(coarse * 10 ** (-exponent / 32) for exponent in range(7, 0, -1))
    limit = best * _first_failure(base, best, (*fine, coarse))
    sound = min(best, float(f"{limit / SAFETY:.3g}"))
    return Rates(best=best, sound=sound, limit=limit / sound)


def _best_rate(base: Base) -> float | None:
    """Return the geometric middle of the rates whose validation loss is nearly the least, over two draws."""
    outcomes = [
        train([recipe_of(base, Case(injection="none", severity=rate, draw=draw), rate) for rate in GRID])
        for draw in (0, 1)
    ]
    losses = np.mean([[_validation_loss(outcome) for outcome in one] for one in outcomes], axis=0)
    if not np.isfinite(losses.min()):
        return None
    alike = [rate for rate, loss in zip(GRID, losses, strict=True) if loss <= ALIKE * losses.min()]
    return float(f"{np.exp(np.mean(np.log(alike))):.3g}")


def _validation_loss(outcome: Outcome) -> float:
    loss = outcome.final.validation_loss
    return loss if outcome.is_finite and np.isfinite(loss) else np.inf


def _first_failure(base: Base, best: float, factors: Sequence[float]) -> float:
    """Return the least of the rising `factors` from which on no rate learns within LADDER_STEPS; else the last."""
    examples = len(base.examples.training.inputs)
    recipes = []
    for factor in factors:
        recipe = recipe_of(base, Case(injection="learning_rate", severity=factor, draw=99), best)
        short = within_steps(recipe.configuration, examples, min(base.steps, LADDER_STEPS))
        recipes.append(replace(recipe, configuration=short))
    learns = [_learns(outcome) for outcome in train(recipes)]
    last = max((i for i, learned in enumerate(learns) if learned), default=-1)
    return factors[min(last + 1, len(factors) - 1)]


def _learns(outcome: Outcome) -> bool:
    return outcome.is_finite and outcome.final.training_loss < 0.9 * outcome.chance


def cases_of(base: Base, rates: Rates) -> Iterator[Case]:
    """Yield everything that is done to a base: of each injection some severities, other bases having others."""
    for injection in INJECTIONS:
        most = injection.most_severities
        for severity in _some(injection.severities(base), most, base):
            for draw in range(injection.draws):
                yield Case(injection=injection.name, severity=severity, draw=draw)
    high = [float(f"{rates.limit * factor:.4g}") for factor in (*NEAR, *_some(FAR, MOST_FAR, base))]
    for severity in (*_some(SLOW, MOST_SLOW, base), *(factor for factor in high if factor > 1.2)):
        for draw in range(2):
            yield Case(injection="learning_rate", severity=severity, draw=draw)
    for name, severity in _some(_doubles(base), MOST_DOUBLES, base):
        yield Case(injection=name, severity=severity, draw=0)


def _doubles(base: Base) -> Sequence[tuple[str, float]]:
    """Return the double faults that a base can have."""
    applicable = {injection.name: tuple(injection.severities(base)) for injection in INJECTIONS}
    applicable["learning_rate"] = SLOW
    return [
        (first + DOUBLE + second, severity)
        for first, severity, second in DOUBLES
        if severity in applicable[first] and SECOND_SEVERITY[second] in applicable[second]
    ]


def _some(things: Sequence[Thing], most: int, base: Base) -> Sequence[Thing]:
    """Return `most` of the things in their order, evenly spread, starting at one that depends on the base."""
    count = len(things)
    if count <= most:
        return things
    start = zlib.crc32(base.name.encode()) % count
    return [things[at] for at in sorted((start + i * count // most) % count for i in range(most))]


def recipe_of(base: Base, case: Case, best_rate: float, data: PreparedData | None = None) -> Recipe:
    """Return how a case is trained, on `data` where it has been made already."""
    return Recipe(
        data=data_of(base, case.injection, case.severity) if data is None else data,
        configuration=configuration_of(base, case.injection, case.severity, learning_rate=best_rate),
        study_seed=base.seed,
        number=case.number,
    )
