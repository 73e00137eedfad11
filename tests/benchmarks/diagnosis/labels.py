"""Which runs are ill, and of what: by their losses, their answers and what was done to them, never by a detector."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np

from hpsearch.telemetry import Epoch
from hpsearch.verdicts import Cause
from tests.benchmarks.diagnosis.bases import Base
from tests.benchmarks.diagnosis.injections import DOUBLE, Injection, parts_of
from tests.benchmarks.diagnosis.training import Outcome, Units

WELL: Final = 0.95
"""A run is as good as its base if it gains at least this share of what its base gains over chance."""

ILL: Final = 0.85
"""A run is worse than its base if it gains less than this share, and by ILL_DEVIATIONS of the base's seeds."""

ILL_DEVIATIONS: Final = 3.0
SUPERIORITY: Final = 0.9
"""The share of pairs of a base's run and a treated run in which the base's must be better (U / (m n), Mann-Whitney)."""

WELL_FIT: Final = 0.8
SLOW_FIT: Final = 0.5
"""Shares of the base's fall of the training loss: above the first a slow run is quick enough, below the second not."""

RARE: Final = 0.95
"""If the most frequent class has this share, one example decides accuracy: such bases are measured by their loss."""

EXPLODED: Final = 2.0
"""A run that is well has a validation loss of at most so many times chance's: others answer well by luck."""

BURST: Final = 30.0
"""A run has exploded on the way if an epoch's loss was so many times that of chance and of the first step."""

DEAD_TOTAL: Final = 0.98
DEAD_PARTIAL: Final = 0.25
DIED: Final = 0.1
FLAT: Final = 0.03
CHANGES_LABELS: Final = (
    "labels_shuffled",
    "rare_classes",
    "loss_pair",
    "dropout",
    "mild_dropout",
    "small_batches",
    "raw_targets",
)
"""Injections after which the training loss cannot be compared with the base's."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Chance:
    """The validation of a network that has learned nothing, from which gains are measured.

    `answer` is the accuracy of the most frequent class if the gain is one of accuracy, else the validation loss of the
    classes' shares or of the targets' mean.
    """

    answer: float
    is_loss: bool


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class TrialCounts:
    """How a base does when nothing was done to it: what its seeds gain over chance, in validation and in training."""

    gains: tuple[float, ...]
    fits: tuple[float, ...]
    first_gradient: float
    chance_answer: Chance
    resolution: float

    @property
    def gain(self) -> float:
        """The mean gain."""
        return float(np.mean(self.gains))

    @property
    def fit(self) -> float:
        """The mean gain of the training loss."""
        return float(np.mean(self.fits))

    @property
    def deviation(self) -> float:
        """The standard deviation of the gains between seeds, at least a hundredth of their mean and one answer."""
        return max(float(np.std(self.gains)), 0.01 * self.gain, self.resolution)

    @property
    def is_sound(self) -> bool:
        """Return True if every seed learns, and all about equally well."""
        return min(self.gains) > 0.2 and self.deviation < 0.1 * self.gain


def standing_of(base: Base, outcomes: Sequence[Outcome]) -> TrialCounts:
    """Return the standing of a base from its own runs."""
    answer = chance_answer(base)
    return TrialCounts(
        gains=tuple(gain(outcome, answer) for outcome in outcomes),
        fits=tuple(fit(outcome) for outcome in outcomes),
        first_gradient=float(np.median([_first_gradient(outcome) for outcome in outcomes])),
        chance_answer=answer,
        resolution=_resolution(base, answer),
    )


def _resolution(base: Base, chance: Chance) -> float:
    """Return by how much one more right answer raises the gain; 0 if it is measured by the loss."""
    return 0.0 if chance.is_loss else 1 / ((1 - chance.answer) * len(base.examples.validation.targets))


def chance_answer(base: Base) -> Chance:
    """Return the validation accuracy of the most frequent answer; for rare classes, or in regression, the loss."""
    targets = base.examples.validation.targets
    if not base.is_classification:
        return Chance(answer=float(targets.astype(np.float64).var(axis=0).mean()), is_loss=True)
    shares = np.bincount(targets) / len(targets)
    if shares.max() < RARE:
        return Chance(answer=float(shares.max()), is_loss=False)
    return Chance(answer=float(-sum(share * np.log(share) for share in shares if share > 0)), is_loss=True)


def gain(outcome: Outcome, chance: Chance) -> float:
    """Return what the last epoch gained over `chance_answer`: 0 nothing, 1 everything; -1 where it is not finite."""
    return gain_of(outcome.final, chance) if outcome.is_finite else -1.0


def gain_of(epoch: Epoch, chance: Chance) -> float:
    """Return what an epoch gained over `chance_answer` in validation: 0 nothing, 1 everything, at least -1."""
    accuracy = epoch.validation_accuracy
    if accuracy is None or chance.is_loss:
        return max(-1.0, 1 - epoch.validation_loss / chance.answer)
    return max(-1.0, (accuracy - chance.answer) / (1 - chance.answer))


def fit(outcome: Outcome) -> float:
    """Return which share of chance's loss is gone on the training examples, at least -1."""
    return max(-1.0, 1 - outcome.fit_loss / outcome.chance) if outcome.is_finite else -1.0


def is_well(outcome: Outcome, standing: TrialCounts, name: str) -> bool:
    """Return True if a run learned as well as its base, did not overfit, and has no quarter of its ReLUs dead."""
    first = parts_of(name, 0.0)[0][0].name
    slack = max((1 - WELL) * standing.gain, 2.5 * standing.deviation)
    is_fitted = first in CHANGES_LABELS or fit(outcome) >= WELL_FIT * standing.fit
    return (
        outcome.is_finite
        and gain(outcome, standing.chance_answer) >= standing.gain - slack
        and is_fitted
        and outcome.final.validation_loss < EXPLODED * outcome.chance
        and _overfit(outcome) < 0.5
        and (not _is_relu(outcome) or _died(outcome) < DIED)
    )


def is_ill(outcome: Outcome, group: Sequence[Outcome], standing: TrialCounts) -> bool:
    """Return True if a run is clearly worse than its base, and so are those `group` that had the same done to them."""
    own = gain(outcome, standing.chance_answer)
    gains = [gain(other, standing.chance_answer) for other in group]
    pairs = [healthy > treated for healthy in standing.gains for treated in gains]
    return (
        own < ILL * standing.gain
        and own < standing.gain - ILL_DEVIATIONS * standing.deviation
        and float(np.mean(pairs)) >= SUPERIORITY
    )


def labels_of(
    name: str, severity: float, outcome: Outcome, group: Sequence[Outcome], standing: TrialCounts
) -> tuple[Cause, ...] | None:
    """Return the labels of a run to which `name` was done, or None if it is neither well nor clearly ill."""
    parts = parts_of(name, severity)
    is_definite = any(strength in injection.definite for injection, strength in parts)
    if not is_definite and is_well(outcome, standing, name):
        return (Cause.HEALTHY,)
    if DOUBLE in name:
        return _double(parts, outcome, group, standing)
    injection = parts[0][0]
    if injection.cause is Cause.OVERFIT:
        return (Cause.OVERFIT,) if _overfit(outcome) >= 1 and _answers_worse(outcome) else None
    is_slow = injection.name == "learning_rate" and severity < 1 and fit(outcome) < SLOW_FIT * standing.fit
    if not (is_slow or is_ill(outcome, group, standing)):
        return None
    return _cause(injection, severity, outcome, standing)


def _double(
    parts: Sequence[tuple[Injection, float]],
    outcome: Outcome,
    group: Sequence[Outcome],
    standing: TrialCounts,
) -> tuple[Cause, ...] | None:
    if not is_ill(outcome, group, standing):
        return None
    causes = [
        _rate(severity, outcome)[:1] if injection.name == "learning_rate" else (injection.cause,)
        for injection, severity in parts
    ]
    return (*causes[0], *causes[1]) if all(causes) else None


def _cause(
    injection: Injection, severity: float, outcome: Outcome, standing: TrialCounts
) -> tuple[Cause, ...] | None:
    """Return what ails a run that is ill, where the injection can be shown to have done it."""
    match injection.cause:
        case Cause.HEALTHY:
            return None
        case Cause.LR_TOO_LOW:
            return _rate(severity, outcome) or None
        case Cause.WRONG_LOSS_PAIR:
            nonfinite = outcome.telemetry.nonfinite
            if nonfinite is not None and nonfinite.array == "loss":
                return Cause.LOG_ZERO, Cause.WRONG_LOSS_PAIR
            return (Cause.WRONG_LOSS_PAIR,)
        case Cause.EXPLODING_GRAD | Cause.SATURATED:
            return _large_weights(injection.cause, severity, outcome, standing)
        case _:
            return (injection.cause,) if _is_proved(injection.cause, severity, outcome, standing) else None


def _large_weights(
    cause: Cause, severity: float, outcome: Outcome, standing: TrialCounts
) -> tuple[Cause, ...] | None:
    """Return the effects of initial weights that are too large, the one that the injection is named for first.

    `large_weights` and `saturating_weights` do the same to a deep tanh network: if its units are flat and its gradient
    explodes, both are there, and the remedy is the same.
    """
    model = outcome.recipe.configuration.model
    is_deep_tanh = model.activation == "tanh" and len(model.hidden) >= 3
    both = (cause, Cause.SATURATED if cause is Cause.EXPLODING_GRAD else Cause.EXPLODING_GRAD)
    effects = both if is_deep_tanh else both[:1]
    found = tuple(one for one in effects if _is_proved(one, severity, outcome, standing))
    return found if cause in found else None


def _is_proved(cause: Cause, severity: float, outcome: Outcome, standing: TrialCounts) -> bool:
    """Return True if what was done had the effect that gives the cause its name."""
    last = outcome.last
    first_gradient = _first_gradient(outcome) / standing.first_gradient
    proofs = {
        # a network that learned shuffled labels by heart shows another illness
        Cause.LABELS_UNRELATED: severity >= 0.9 and outcome.is_finite and fit(outcome) < 0.3,
        Cause.INPUT_UNSCALED: _largest_input(outcome) > 8,
        Cause.VAL_MISALIGNED: fit(outcome) >= 0.7 * standing.fit,
        Cause.COLLAPSED_OUTPUT: outcome.top_share > 0.95,
        Cause.BORN_DEAD: max(outcome.first.dead, default=0.0) >= DEAD_TOTAL,
        Cause.SATURATED: min(_most_saturated(outcome.first), _most_saturated(last)) > 0.5,
        Cause.VANISHING_GRAD: first_gradient < 0.01,
        Cause.EXPLODING_GRAD: first_gradient > 30,
        Cause.PLATEAU: _is_flat(outcome) and _died(outcome) < DEAD_PARTIAL,
        Cause.TRAIN_EVAL_SHIFT: outcome.fit_loss > 1.5 * outcome.final.training_loss,
    }
    return proofs.get(cause, True)


def _rate(severity: float, outcome: Outcome) -> tuple[Cause, ...]:
    """Return how a learning rate that is `severity` times the sound one has spoiled a run.

    If the loss was huge on the way, or units came to rest where it is, that is an explosion too: both labels are right.
    """
    if severity < 1:
        return (Cause.LR_TOO_LOW,) if outcome.is_finite and severity <= 0.3 else ()
    loss = outcome.final.training_loss
    activation = outcome.recipe.configuration.model.activation
    is_relu, flat = _is_relu(outcome), _most_saturated(outcome.last)
    has_exploded = loss > 2 * max(outcome.chance, outcome.telemetry.samples[0].loss)
    effects = {
        Cause.DIVERGED_LR: not outcome.is_finite or loss > 1e3 * outcome.chance,
        Cause.DEAD_RELU_TOTAL: is_relu and max(outcome.last.dead, default=0.0) >= DEAD_TOTAL,
        Cause.NEG_PLATEAU: activation in ("elu", "selu") and flat >= DEAD_PARTIAL,
        Cause.SATURATED: activation in ("sigmoid", "tanh") and flat > 0.5,
        Cause.EXPLODING: has_exploded,
        Cause.DEAD_RELU_PARTIAL: is_relu and _died(outcome) >= DEAD_PARTIAL,
    }
    found = next((cause for cause, is_there in effects.items() if is_there), Cause.LR_TOO_HIGH)
    is_at_rest = found in (Cause.DEAD_RELU_TOTAL, Cause.NEG_PLATEAU, Cause.SATURATED)
    is_other = found not in (Cause.DIVERGED_LR, Cause.EXPLODING)
    has_burst = is_other and _highest_loss(outcome) > BURST * max(
        outcome.chance, outcome.telemetry.samples[0].loss
    )
    return (found, Cause.EXPLODING) if has_burst or (is_at_rest and has_exploded) else (found,)


def _highest_loss(outcome: Outcome) -> float:
    """Return the highest loss of an epoch, in training or validation; infinite if one is not finite."""
    losses = [
        loss for epoch in outcome.telemetry.epochs for loss in (epoch.training_loss, epoch.validation_loss)
    ]
    return max((loss if np.isfinite(loss) else float("inf") for loss in losses), default=0.0)


def _most_saturated(units: Units) -> float:
    return max(units.saturated, default=0.0)


def _is_relu(outcome: Outcome) -> bool:
    return outcome.recipe.configuration.model.activation == "relu"


def _died(outcome: Outcome) -> float:
    """Return the largest share of a layer's units that died in training."""
    return max((b - a for a, b in zip(outcome.first.dead, outcome.last.dead, strict=True)), default=0.0)


def _first_gradient(outcome: Outcome) -> float:
    """Return the norm of the first layer's gradient at the first step."""
    return outcome.telemetry.samples[0].layers[0].gradient_norm


def _largest_input(outcome: Outcome) -> float:
    return float(np.abs(outcome.recipe.data.training.inputs).max())


def _is_flat(outcome: Outcome) -> bool:
    """Return True if the training loss fell by less than FLAT of chance's in the last third."""
    losses = [epoch.training_loss for epoch in outcome.telemetry.epochs]
    third = max(1, len(losses) // 3)
    if len(losses) < 6:
        return False
    return float(np.mean(losses[-2 * third : -third]) - np.mean(losses[-third:])) < FLAT * outcome.chance


def _answers_worse(outcome: Outcome) -> bool:
    """Return True if the best epoch would have been better to keep: answers fell by more than one standard error.

    A loss that rises while the answers stay as they are shows growing confidence: whether that is an illness depends
    on the use, so such runs are neither well nor ill. Always True in regression, where the loss is the answer.
    """
    accuracies = [epoch.validation_accuracy for epoch in outcome.telemetry.epochs]
    known = [accuracy for accuracy in accuracies if accuracy is not None]
    if not known:
        return True
    smooth = np.convolve(known, np.ones(3) / 3, mode="valid")
    best, examples = float(smooth.max()), len(outcome.recipe.data.validation.targets)
    share = (best * examples + 1) / (examples + 2)
    return best - float(smooth[-1]) > math.sqrt(share * (1 - share) / examples)


def _overfit(outcome: Outcome) -> float:
    """Return how far the validation loss has risen from its least: 1 if it is overfitting, below 0.5 if not.

    1 is a rise by 15 % of the least and 5 % of chance's loss while the training loss fell by 10 %.
    """
    epochs = outcome.telemetry.epochs
    if len(epochs) < 6 or not outcome.is_finite:
        return 0.0
    smooth = np.convolve([epoch.validation_loss for epoch in epochs], np.ones(3) / 3, mode="valid")
    least = int(smooth.argmin())
    rise = float(smooth[-1] - smooth[least])
    is_fitting = epochs[-1].training_loss < 0.9 * epochs[least + 1].training_loss
    return is_fitting * rise / max(0.15 * float(smooth[least]), 0.05 * outcome.chance, 1e-9)
