"""Steps of the wrong length: too small to make progress, or so large that they overshoot."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import median
from typing import Final

from hpsearch.diagnosis.curves import costs_answers
from hpsearch.diagnosis.dead_units import is_saturated
from hpsearch.diagnosis.facts import TrialFacts
from hpsearch.diagnosis.progress import (
    HIGHEST_FACTOR,
    answers_well,
    better_learning_rate,
    current_loss,
    finite_evidence,
    has_learned,
    is_ahead_of_chance,
    last_samples,
    lower_learning_rate,
    mean,
    median_of,
    probes,
)
from hpsearch.study.messages import format_number
from hpsearch.telemetry import Epoch, LayerSample, Sample, Telemetry
from hpsearch.verdicts import Cause, Finding

LEAST_STEPS: Final = 25
SAMPLES: Final = 5
PROMISED_SHARE: Final = 0.1
LEAST_GAIN: Final = 0.9
MEAN_ERRORS: Final = 3.0
SLOPE_ERRORS: Final = 2.0
LEAST_POINTS: Final = 3
SHORTEST_TRAVEL: Final = 0.1
SHORT_TRAVEL: Final = 0.25
LEAST_SEEN: Final = 0.2
FALL_MARGIN: Final = 2.0
BOUNDED: Final = frozenset({"tanh", "sigmoid"})
HOPELESS: Final = 0.9
SLOW: Final = 0.8
USUAL_TRAVEL: Final = 15.0
SMALLEST_GROWTH: Final = 1e-6
MOST_GROWTH: Final = 50.0
PROMISE_FACTOR: Final = 30.0
ROUNDED_GAIN: Final = 0.98
MOST_SILENT_SHARE: Final = 0.5
OVERSHOT_PROBES: Final = 3
SETTLING_PROBES: Final = 2
LEAST_OVERSHOT_STEPS: Final = 150
OVERSHOT_GAIN: Final = 0.65
OVERSHOT_LEARNED: Final = 0.25
JUMPING_EPOCHS: Final = 3
JUMPING_SHARE: Final = 1 / 3
JUMPING_LEAST_EPOCHS: Final = 8
JUMPING_VALIDATION: Final = 0.25
JUMPING_TRAINING: Final = 0.1
LEAST_LEARNED: Final = 0.1
NEARLY_OVER: Final = 0.9
STRAIGHT_GAIN: Final = 0.95
STRAIGHT_COSINE: Final = 0.3
FAR_SHARE: Final = 0.5
FALLING_SHARE: Final = 0.95
STRAIGHT_SHARE: Final = 0.6
BENT_SHARE: Final = 0.45
AT_CHANCE: Final = 0.95
ABOVE_CHANCE: Final = 1.1
"""A trial whose losses are below this multiple of chance's may be good by luck.

On 120 noisy examples, one at 1.0 ended above the median of its search.
"""

MOST_GAIN: Final = 0.995
"""Nearer to 1, rho only shows that the step could be a hundred times as long."""


def lr_too_low(telemetry: Telemetry, facts: TrialFacts) -> Finding | None:
    """Find steps that promise to lower the loss by less than a tenth in the whole trial, and have not done more so far.

    The promise is an upper bound (see `_promised_fall`). Steps so short that all of them together would move no layer
    by a tenth of its length promise nothing either (see `_longest_travel`). Probes, if any promised more than rounding,
    must agree that the steps are far too small: rho near 1 (Cockpit's alpha near -1). Slow and dying runs separate
    cleanly by their silent units (measured: above 0.95 against below 0.06 of a layer). A network that answers well is
    none of them, however little its loss has fallen. The finding stops a trial only if the trial `_is_hopeless`.
    """
    recent = last_samples(telemetry, SAMPLES)
    if not recent or telemetry.steps < min(LEAST_STEPS, facts.steps / 2):
        return None
    first = telemetry.samples[0].loss
    fallen = first - median(sample.loss for sample in recent)
    if not fallen < PROMISED_SHARE * first or is_ahead_of_chance(telemetry, facts):
        return None
    trend = _trend(telemetry, facts)
    promised, travel = _promised_fall(telemetry, facts, trend), _longest_travel(telemetry, facts, trend)
    if not (0 <= promised < PROMISED_SHARE * first or travel < SHORTEST_TRAVEL):
        return None
    gain = median_of(probes(telemetry), lambda sample: sample.gain)
    last = telemetry.samples[-1]
    if gain < LEAST_GAIN or not last.dead_share <= MOST_SILENT_SHARE or is_saturated(last, facts):
        return None
    straight = median(sample.predicted_decrease for sample in recent) * facts.steps
    higher = facts.learning_rate * _raising_factor(straight / first, travel, gain)
    is_hopeless = _is_hopeless(telemetry, facts, promised=promised, fallen=fallen, travel=travel)
    return Finding(
        cause=Cause.LR_TOO_LOW,
        confidence=HOPELESS if is_hopeless else SLOW,
        first_step=0,
        evidence=finite_evidence(
            promised_share=straight / first,
            travelled_share=travel,
            fallen_share=fallen / first,
            gain=gain,
            steps=facts.steps,
        ),
        remedy=f"{_higher_learning_rate(facts, higher)}.",
        suggested={"learning_rate": higher},
    )


def _promised_fall(telemetry: Telemetry, facts: TrialFacts, trend: tuple[float, float]) -> float:
    """Return an upper bound of the fall of the loss in the whole trial, if steps grow on as they grew so far.

    A step promises -(gradient . change of the parameters) to first order, lr |g|^2 for SGD; noise in the minibatch's
    gradient only makes that larger. Its mean is taken at the upper end of its error, 3 standard errors, since single
    examples promise very different falls. On the way off a plateau the promise grows: log p is fitted by a line over
    the steps, and the slope at its upper end, 2 standard errors, is continued to the end of the trial. A straight line
    through the first steps would miss it (a run that had promised a sixteenth of its loss ended at a hundredth of it).
    """
    samples = telemetry.samples
    promises = [_full_promise(sample, facts) for sample in samples]
    recent = promises[-max(SAMPLES, len(promises) // 2) :]
    level = mean(recent) + MEAN_ERRORS * _standard_error(recent)
    if level == 0:
        return 0.0
    slope, error = trend
    left = max(0, facts.steps - telemetry.steps)
    growth = (slope + SLOPE_ERRORS * error) * left
    if not math.isfinite(growth):
        return math.inf
    lasting = left if growth <= SMALLEST_GROWTH else left * math.expm1(min(growth, MOST_GROWTH)) / growth
    return level * (telemetry.steps + lasting)


def _longest_travel(telemetry: Telemetry, facts: TrialFacts, trend: tuple[float, float]) -> float:
    """Return how far all steps of the trial would move a layer if they had one direction, as a share of its weights.

    It is the largest of all layers. Of 156 runs below 0.1, with minibatches of 1 to 32 examples, 144 gained less than
    half of the best of their search; the 6 near it had begun there by luck (`is_ahead_of_chance`). Infinite while steps
    grow, as on the way off a plateau.
    """
    samples = telemetry.samples
    slope, error = trend
    if not slope - SLOPE_ERRORS * error <= 0:
        return math.inf
    recent = samples[-max(SAMPLES, len(samples) // 2) :]
    return facts.steps * max(
        (
            median(_share(sample.layers[place]) for sample in recent)
            for place in range(len(samples[0].layers))
        ),
        default=math.inf,
    )


def _is_hopeless(
    telemetry: Telemetry, facts: TrialFacts, *, promised: float, fallen: float, travel: float
) -> bool:
    """Return True if nothing can come of a slow trial, whose loss may fall by `promised` and has fallen by `fallen`.

    Steps may shrink for a while and then grow off a plateau, so a fifth of the trial must have passed without growth
    (one trial stopped at a tenth ended at a tenth of its loss). All steps together must move no layer by a tenth of
    its length: gradients change little then, and the promise bounds the fall. But wide networks learn while they
    hardly move, so the promise must be small as well; or, since noisy minibatches promise too much, twice the fall so
    far, continued in a straight line. Small is what leaves the loss within a tenth of its first value; or of chance's,
    if training and validation are a tenth above that: the way down to chance is no gain. No bound holds for outputs
    that begin on a flat part of tanh or sigmoid, as the loss shows if it begins above chance's: their gradients grow by
    orders of magnitude once they leave it.
    """
    seen = telemetry.steps / facts.steps
    first = telemetry.samples[0].loss
    if facts.configuration.model.output in BOUNDED and first > facts.chance_loss:
        return False
    if seen < LEAST_SEEN or not travel < SHORTEST_TRAVEL:
        return False
    is_above_chance = current_loss(telemetry) > ABOVE_CHANCE * facts.chance_loss
    small = first - (1 - PROMISED_SHARE) * (min(first, facts.chance_loss) if is_above_chance else first)
    return 0 <= promised < small or FALL_MARGIN * fallen / seen < small


def _share(layer: LayerSample) -> float:
    """Return the length of a step relative to its layer's weights; infinite if it is unknown."""
    is_known = layer.weight_norm > 0 and not math.isnan(layer.update_norm)
    return layer.update_norm / layer.weight_norm if is_known else math.inf


def _full_promise(sample: Sample, facts: TrialFacts) -> float:
    """Return the promise of a step as it is once momentum has built up: a fraction 1 - m^t of it is there before."""
    training = facts.configuration.training
    if training.optimizer != "momentum":
        return sample.predicted_decrease
    return sample.predicted_decrease / (1 - training.momentum ** (sample.step + 1))


def _trend(telemetry: Telemetry, facts: TrialFacts) -> tuple[float, float]:
    """Return the slope of the promises' logarithms over the steps and its standard error, if above 0 and finite."""
    promises = ((sample.step, _full_promise(sample, facts)) for sample in telemetry.samples)
    return _slope([(step, math.log(promise)) for step, promise in promises if 0 < promise < math.inf])


def _standard_error(numbers: Sequence[float]) -> float:
    """Return the standard error of the mean of two numbers at least."""
    middle = mean(numbers)
    distances = [number - middle for number in numbers]
    squares = sum(distance * distance for distance in distances)  # infinite, while `**` raises OverflowError
    return math.sqrt(squares / (len(numbers) - 1) / len(numbers))


def _slope(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the slope of the line through the points (x, y) and its standard error; (0, infinity) for too few."""
    width = 0.0
    if len(points) >= LEAST_POINTS:
        middle_x, middle_y = mean([x for x, _ in points]), mean([y for _, y in points])
        width = sum((x - middle_x) ** 2 for x, _ in points)
    if width == 0:
        return 0.0, math.inf
    slope = sum((x - middle_x) * (y - middle_y) for x, y in points) / width
    rest = sum((y - middle_y - slope * (x - middle_x)) ** 2 for x, y in points)
    return slope, math.sqrt(rest / (len(points) - 2) / width)


def _raising_factor(promised: float, travel: float, gain: float) -> float:
    """Return the factor for longer steps of a trial that promises this share of its loss and travels so little.

    Thirty times the factor that would raise the promise to the loss, since gradients shrink on the way; or, if it is
    larger, the factor to a travel of 15 (see `_longest_travel`): two of three trials beyond 5 end near the best of
    their search. With both, suggestions are as often above as below the best rate of 24 slow runs. At most the best
    step along the gradient of a quadratic, 1 / (2 (1 - rho)), if rho is far enough from 1 to differ from rounding.
    """
    factor = PROMISE_FACTOR / promised if promised > 0 else HIGHEST_FACTOR
    if 0 < travel < math.inf:
        factor = max(factor, USUAL_TRAVEL / travel)
    longest = 1 / (2 * (1 - gain)) if gain < ROUNDED_GAIN else HIGHEST_FACTOR
    return min(HIGHEST_FACTOR, factor, longest)


def still_converging(telemetry: Telemetry, facts: TrialFacts) -> Finding | None:
    """Find a trial that is nearly over with its loss still falling in a straight line: its learning rate is too low.

    Steps far below the best length (rho near 1), gradients that keep their direction from minibatch to minibatch, and a
    loss above half of chance's, with answers that are not good. A trial whose steps together moved no layer by a
    quarter of its length may fall less straight, or stay at chance: on the tuning families no healthy run with so high
    a loss was below 0.46, but good ones on noisy data were. It learns, so it is no reason to stop.
    """
    samples = telemetry.samples
    if len(samples) < SAMPLES or telemetry.steps < NEARLY_OVER * facts.steps:
        return None
    gain = median_of(probes(telemetry), lambda sample: sample.gain)
    cosine = median_of(samples, lambda sample: sample.gradient_cosine)
    if not (gain > STRAIGHT_GAIN and cosine > STRAIGHT_COSINE):
        return None
    if has_learned(telemetry, facts, share=FAR_SHARE) or answers_well(telemetry, facts):
        return None
    if not _still_falls(telemetry):
        is_at_chance = not has_learned(telemetry, facts, share=AT_CHANCE)
        is_slow = is_at_chance or _still_falls(telemetry, straight=BENT_SHARE)
        if not (is_slow and _longest_travel(telemetry, facts, _trend(telemetry, facts)) < SHORT_TRAVEL):
            return None
    higher = facts.learning_rate * max(10.0, 1 / (2 * (1 - min(gain, MOST_GAIN))))
    return Finding(
        cause=Cause.LR_TOO_LOW,
        confidence=0.8,
        first_step=0,
        evidence=finite_evidence(gain=gain, gradient_cosine=cosine, loss=samples[-1].loss),
        remedy=f"{_higher_learning_rate(facts, higher)}, or train longer.",
        suggested={"learning_rate": higher},
    )


def _higher_learning_rate(facts: TrialFacts, higher: float) -> str:
    """Return the remedy in words, without its full stop."""
    return (
        f"Raise the learning rate from {format_number(facts.learning_rate)} to about {format_number(higher)}"
    )


def _still_falls(telemetry: Telemetry, *, straight: float = STRAIGHT_SHARE) -> bool:
    """Return True if the training loss falls by a twentieth from the middle third to the last, and does not bend.

    Near the best possible loss, which noise in the data may keep high, the curve bends: its last fall is less than
    that share of the one before. Samples count if there are too few epochs and minibatches are small, since these
    have a sample's losses from the same examples.
    """
    losses = [epoch.training_loss for epoch in telemetry.epochs]
    if (
        len(losses) < 2 * LEAST_POINTS
        and telemetry.samples[-1].examples > telemetry.samples[-1].batch_examples
    ):
        losses = [sample.loss for sample in telemetry.samples if sample.step >= telemetry.steps / 4]
    third = len(losses) // 3
    if third == 0:
        return True
    before, middle, now = (mean(losses[-(place + 1) * third :][:third]) for place in (2, 1, 0))
    return now < FALLING_SHARE * middle and middle - now > straight * (before - middle)


def lr_too_high(telemetry: Telemetry, facts: TrialFacts) -> Finding | None:
    """Find steps that overshoot: the loss stays above a quarter of chance's, and training moves up and down.

    Either most steps are longer than the best ones (rho below 0.65 in the middle of the probes, Cockpit's alpha above
    -0.3), the training loss has risen from one epoch to the next in a third of them, and answers have become fewer, so
    that it is not the noise of data that cannot be learned further. Or the losses jump (see `_jumps`), which rho misses
    if steps overshoot now and then. It is no reason to stop: at the edge of stability networks still learn. The bounds
    are measured on the tuning families: `tests/benchmarks/diagnosis/README.md`.
    """
    probed = probes(telemetry)[SETTLING_PROBES:]
    if len(probed) < OVERSHOT_PROBES or telemetry.steps < LEAST_OVERSHOT_STEPS:
        return None
    gain = median_of(probed, lambda sample: sample.gain)
    if has_learned(telemetry, facts, share=OVERSHOT_LEARNED):
        return None
    overshoots = gain < OVERSHOT_GAIN and _is_oscillating(telemetry) and costs_answers(telemetry, facts)
    if not overshoots and not _jumps(telemetry, facts):
        return None
    return Finding(
        cause=Cause.LR_TOO_HIGH,
        confidence=0.7,
        first_step=probed[0].step,
        evidence=finite_evidence(
            gain=gain, loss=telemetry.samples[-1].loss, learning_rate=facts.learning_rate
        ),
        remedy=f"{lower_learning_rate(telemetry, facts)}: the steps overshoot.",
        suggested={"learning_rate": better_learning_rate(telemetry, facts)},
    )


def _jumps(telemetry: Telemetry, facts: TrialFacts) -> bool:
    """Return True if both losses change by much from epoch to epoch, and one of them up and down.

    Medians over the second half of the epochs, as shares of the most that was learned: a quarter in validation, a tenth
    in training. On the tuning data, of 167 healthy and good runs with such losses none had both; of 19 at rates too
    high 13 had. Changes of validation must also exceed its standard error: on labels near chance, of which little can
    be learned, three healthy runs with fresh seeds changed by 0.028 to 0.030 of chance's loss, ill ones by 0.046 on.
    """
    epochs = telemetry.epochs[len(telemetry.epochs) // 2 :]
    if len(telemetry.epochs) < JUMPING_LEAST_EPOCHS:
        return False

    def learned(loss: Callable[[Epoch], float]) -> float:
        return max(LEAST_LEARNED * facts.chance_loss, facts.chance_loss - min(map(loss, telemetry.epochs)))

    validation = [after.validation_loss - before.validation_loss for before, after in pairwise(epochs)]
    training = [after.training_loss - before.training_loss for before, after in pairwise(epochs)]
    turns = any(min(changes) < 0 < max(changes) for changes in (validation, training))
    jump = median(map(abs, validation))
    return (
        turns
        and jump > max(JUMPING_VALIDATION * learned(_validation_loss), _validation_error(facts))
        and median(map(abs, training)) > JUMPING_TRAINING * learned(_training_loss)
    )


def _validation_error(facts: TrialFacts) -> float:
    """Return the standard error of a validation loss whose examples' losses deviate by as much as chance's is."""
    examples = facts.data.validation_examples
    return facts.chance_loss / math.sqrt(examples) if examples else 0.0


def _validation_loss(epoch: Epoch) -> float:
    return epoch.validation_loss


def _training_loss(epoch: Epoch) -> float:
    return epoch.training_loss


def _is_oscillating(telemetry: Telemetry) -> bool:
    """Return True if the training loss rose in a third of the epochs or more; False if fewer than four are known."""
    losses = [epoch.training_loss for epoch in telemetry.epochs]
    rises = sum(after > before for before, after in pairwise(losses))
    return len(losses) > JUMPING_EPOCHS and rises >= JUMPING_SHARE * (len(losses) - 1)
