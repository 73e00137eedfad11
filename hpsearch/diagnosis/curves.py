"""Causes in the curves over the epochs: training compared with validation."""

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Final

from hpsearch.diagnosis.facts import TrialFacts
from hpsearch.diagnosis.progress import finite_evidence, last_samples, mean, median_of
from hpsearch.diagnosis.remedies import wider_layers
from hpsearch.diagnosis.signal import chance_deviation
from hpsearch.telemetry import Epoch, Sample, Telemetry
from hpsearch.verdicts import Cause, Finding

WORSE: Final = 1.15
WORSE_FLOOR: Final = 0.05
CHECKS: Final = 3
BETTER: Final = 0.95
ANSWERED: Final = 0.3
LEARNED_LOSS: Final = 0.8
WIDE_GAP: Final = 0.6
EARLY_STEPS: Final = 300
SHARED_COSINE: Final = 0.2
SHARED_COHERENCE: Final = 1.15
NOT_BY_HEART: Final = 2
EXCLUDED_SHARE: Final = 0.6
MOST_ERROR: Final = 0.75
JUMPS: Final = 2.0
"""A validation loss has risen if it is above its best by so many of its usual changes between epochs."""

LOST_ANSWERS: Final = 3.84
"""McNemar's test at 5 % (chi squared's quantile for 1 degree of freedom), if every answer that changed became wrong."""

SHIFT: Final = 1.5
SHIFT_PROBES: Final = 2
SOON_EPOCHS: Final = 2
CONFIDENT_LOSS: Final = 0.5
FLAT_EPOCHS: Final = 4
CHANCE_SHARE: Final = 0.9
FLAT_SHARE: Final = 0.08
UNDERFIT_SHARE: Final = 0.2
NARROW: Final = 3


def val_misaligned(telemetry: Telemetry, facts: TrialFacts) -> Finding | None:
    """Find validation at chance all along while training answers well: its labels are not its own.

    If a network merely overfits, its validation was above chance at first, or training learned slowly, example by
    example. A network that learns what examples share answers others as well, so training must show such a signal: its
    gradients agree from minibatch to minibatch, or both losses were far apart already when training's was a fifth below
    chance's. Answers must also be few enough, at the upper end of their binomial error, to exclude three fifths of
    training's lead, and that error must be below three quarters of it: of a few dozen examples some parts have many of
    the largest class, which answers of a network that overfits do not exceed (2 of 20 trials on 42 examples).
    """
    epochs = telemetry.epochs
    if not math.isfinite(facts.chance_loss) or not any(map(_has_validation, epochs)):
        return None
    learned = [epoch for epoch in epochs if epoch.training_loss < LEARNED_LOSS * facts.chance_loss]
    if not learned or not _stays_at_chance(epochs, facts):
        return None
    answered = _known_share(telemetry, facts)
    excluded = EXCLUDED_SHARE * answered
    if not answered > ANSWERED or _most_accurate(learned, facts) >= excluded:
        return None
    if facts.is_classification and _validation_error(facts) >= MOST_ERROR * excluded:
        return None
    if not (_has_shared_signal(telemetry) or _learned_apart(learned[0], facts)):
        return None
    return Finding(
        cause=Cause.VAL_MISALIGNED,
        confidence=0.95,
        first_step=0,
        evidence=finite_evidence(known_share=answered, **_validation(epochs[-1])),
        remedy="Validation is at chance while training is not: check that its examples and labels belong together.",
    )


def overfit(telemetry: Telemetry, facts: TrialFacts) -> Finding | None:
    """Find a validation loss 15 % above its best for three checks, while training's kept falling by 5 %.

    Like Prechelt's generalization loss (1998), but with a floor of 5 % of chance's loss, since near 0 every change is
    large, and beyond its own jumps from epoch to epoch; and not if validation has labels that are not its own. If the
    loss alone rises, only the confidence of wrong answers has grown: see `costs_answers`.
    """
    epochs = telemetry.epochs
    if len(epochs) <= CHECKS or val_misaligned(telemetry, facts) is not None:
        return None
    best = min(epochs, key=_validation_loss)
    since = epochs[-CHECKS:]
    level = max(WORSE * best.validation_loss, best.validation_loss + WORSE_FLOOR * facts.chance_loss)
    level = max(level, best.validation_loss + JUMPS * _usual_jump(epochs))
    if any(not epoch.validation_loss >= level for epoch in since):
        return None
    if since[0].epoch <= best.epoch or not since[-1].training_loss <= BETTER * best.training_loss:
        return None
    costs = costs_answers(telemetry, facts)
    harm = "" if costs else "; answers stay as good, so only their confidence is wrong"
    return Finding(
        cause=Cause.OVERFIT,
        confidence=0.8,
        first_step=(best.epoch + 1) * facts.steps_per_epoch,
        evidence=finite_evidence(
            best_validation_loss=best.validation_loss,
            validation_loss=since[-1].validation_loss,
            training_loss=since[-1].training_loss,
        ),
        remedy=f"Stop after epoch {best.epoch + 1}, or use weight decay, dropout or more data{harm}.",
        suggested={"training.epochs": best.epoch + 1},
    )


def costs_answers(telemetry: Telemetry, facts: TrialFacts) -> bool:
    """Return True if keeping an earlier epoch would have helped by the study's own measure.

    Losses are the measure in regression and if the study minimizes one. Otherwise accuracy must have fallen by one
    standard error from its best mean over three epochs to the last, and by `LOST_ANSWERS` examples: the best of many
    means is high by chance, the more so the fewer examples there are. On the tuning data of the benchmark of small
    minibatches, 9 of 11 good trials that were called ill had a rising loss with answers as good as the best.
    """
    accuracies = [
        epoch.validation_accuracy for epoch in telemetry.epochs if epoch.validation_accuracy is not None
    ]
    if not facts.is_scored_by_answers or len(accuracies) < CHECKS:
        return True
    means = [mean(accuracies[end - CHECKS : end]) for end in range(CHECKS, len(accuracies) + 1)]
    best, examples = max(means), facts.data.validation_examples
    share = (best * examples + 1) / (examples + 2)  # Laplace's: a best of 1 has an error too
    lost = (best - means[-1]) * examples
    return lost > max(math.sqrt(share * (1 - share) * examples), LOST_ANSWERS)


def _usual_jump(epochs: Sequence[Epoch]) -> float:
    """Return the median change of the validation loss from one epoch to the next; 0 if none is finite."""
    changes = [abs(b.validation_loss - a.validation_loss) for a, b in pairwise(epochs)]
    finite = [change for change in changes if math.isfinite(change)]
    return median(finite) if finite else 0.0


def plateau(telemetry: Telemetry, facts: TrialFacts) -> Finding | None:
    """Find a training loss that is flat at a high level, as validation's is, with a layer too narrow for its task.

    Noise in the labels looks the same; a layer of fewer than three units, or of fewer than half the classes, separates
    them. A network without hidden layers has no narrow layer: its best loss may be the noise of the data.
    """
    narrowest = min(facts.configuration.model.hidden, default=math.inf)
    if narrowest >= max(NARROW, len(facts.data.class_shares) / 2):
        return None
    epochs = telemetry.epochs[-2 * FLAT_EPOCHS :]
    if len(epochs) < 2 * FLAT_EPOCHS:
        return None
    before, now = (mean([epoch.training_loss for epoch in part]) for part in _halves(epochs))
    if not abs(before - now) < FLAT_SHARE * before or not now > UNDERFIT_SHARE * facts.chance_loss:
        return None
    if not epochs[-1].validation_loss < 2 * now:
        return None
    wider = wider_layers(facts)
    return Finding(
        cause=Cause.PLATEAU,
        confidence=0.85,
        first_step=epochs[0].epoch * facts.steps_per_epoch,
        evidence=finite_evidence(training_loss=now, earlier_loss=before, chance_loss=facts.chance_loss),
        remedy=f"The loss has stopped falling at a high level: {wider.text}.",
        suggested=wider.suggested,
    )


def train_eval_shift(telemetry: Telemetry, facts: TrialFacts) -> Finding | None:
    """Find a minibatch that costs half as much again in evaluation mode: running statistics differ from training's.

    Usual causes are dropout before batch normalization (Li et al. 2019) or minibatches too small for statistics. If the
    trial ends within two epochs, validation that costs so much more shows it too: nothing is learned by heart so soon.
    """
    if not facts.configuration.model.batch_norm:
        return None
    shifts = [shift for sample in telemetry.samples if not math.isnan(shift := _shift(sample))]
    last = shifts[-SHIFT_PROBES:]
    is_known = telemetry.steps >= 50 and len(last) == SHIFT_PROBES and min(last) >= SHIFT
    early = (
        telemetry.epochs[-1:]
        if len(telemetry.epochs) <= SOON_EPOCHS and telemetry.steps >= facts.steps
        else []
    )
    jump = early[0].validation_loss / early[0].training_loss if early and early[0].training_loss > 0 else 0.0
    if not is_known and not (jump >= SHIFT and early[0].validation_loss > CONFIDENT_LOSS * facts.chance_loss):
        return None
    return Finding(
        cause=Cause.TRAIN_EVAL_SHIFT,
        confidence=0.8,
        first_step=0,
        evidence=finite_evidence(evaluation_over_training=median(last) if is_known else jump),
        remedy="Put dropout after the last batch normalization or leave it out, and use larger minibatches.",
        suggested={"model.dropout": 0.0} if facts.configuration.model.dropout > 0 else {},
    )


def _shift(sample: Sample) -> float:
    """Return the loss in evaluation mode over that in training mode, after the step; NaN if it is unknown."""
    after = sample.minibatch_loss - sample.actual_decrease
    return sample.evaluation_loss / after if after > 0 else math.nan


def _stays_at_chance(epochs: Sequence[Epoch], facts: TrialFacts) -> bool:
    """Return True if validation has never been better than the shares of the classes, or the mean of the targets.

    In classification the mean accuracy over the epochs counts too, since of many checks some are above chance by luck.
    For few examples the loss is more precise: it weighs the confidence of each answer.
    """
    if min(map(_validation_loss, epochs)) < CHANCE_SHARE * facts.chance_loss:
        return False
    accuracies = [epoch.validation_accuracy for epoch in epochs if epoch.validation_accuracy is not None]
    if not accuracies:
        return True
    return mean(accuracies) < _majority(facts) + _validation_error(facts)


def _has_shared_signal(telemetry: Telemetry) -> bool:
    """Return True if gradients agreed over the first 300 steps, between minibatches and within them.

    Medians of 13 runs on digits and wine: a cosine of 0.28 to 0.7 and a coherence of 1.2 to 2.3 if validation's labels
    were shuffled, at most 0.29 and 1.25 if training's were, and learned by heart.
    """
    early = [sample for sample in telemetry.samples if sample.step <= EARLY_STEPS]
    cosine = median_of(early, lambda sample: sample.gradient_cosine)
    coherence = median_of(early, lambda sample: sample.coherence)
    return cosine > SHARED_COSINE and coherence > SHARED_COHERENCE


def _learned_apart(first: Epoch, facts: TrialFacts) -> bool:
    """Return True if both losses were far apart in the `first` epoch that learned, and that is the first or second one.

    Above 0.7 of chance's loss in 15 of 15 fast runs with shuffled validation, below 0.6 in 19 of 19 that overfit. Until
    the second epoch ends, no example has been learned more than twice; later, networks with many inputs learn noise by
    heart, and 5 of 120 such runs had that gap.
    """
    return (
        first.epoch < NOT_BY_HEART
        and first.validation_loss - first.training_loss > WIDE_GAP * facts.chance_loss
    )


def _majority(facts: TrialFacts) -> float:
    """Return the share of the most frequent class in validation, or in training if that is unknown."""
    return max(facts.data.validation_shares, default=facts.data.majority_share)


def _most_accurate(learned: Sequence[Epoch], facts: TrialFacts) -> float:
    """Return the most that validation may be ahead of chance, by its mean accuracy in these epochs; 0 in regression."""
    accuracies = [epoch.validation_accuracy for epoch in learned if epoch.validation_accuracy is not None]
    if not accuracies:
        return 0.0
    majority = _majority(facts)
    return mean(accuracies) - majority + _validation_error(facts)


def _validation_error(facts: TrialFacts) -> float:
    """Return the binomial error of an accuracy at chance on the validation part."""
    return chance_deviation(_majority(facts), max(1, facts.data.validation_examples))


def _known_share(telemetry: Telemetry, facts: TrialFacts) -> float:
    """Return training's lead over chance, in accuracy, or in the share of the variance explained."""
    last = last_samples(telemetry, min(5, len(telemetry.samples)))
    if facts.is_classification:
        return median_of(last, lambda sample: sample.accuracy) - facts.data.majority_share
    if facts.chance_loss == 0:  # targets that are all the same
        return math.nan
    return 1 - telemetry.epochs[-1].training_loss / facts.chance_loss


def _validation(epoch: Epoch) -> dict[str, float]:
    accuracy = epoch.validation_accuracy
    shown = {"validation_loss": epoch.validation_loss}
    return shown if accuracy is None else {**shown, "validation_accuracy": accuracy}


def _has_validation(epoch: Epoch) -> bool:
    return epoch.validation_accuracy is not None or not math.isnan(epoch.validation_loss)


def _validation_loss(epoch: Epoch) -> float:
    return math.inf if math.isnan(epoch.validation_loss) else epoch.validation_loss


def _halves(epochs: Sequence[Epoch]) -> tuple[Sequence[Epoch], Sequence[Epoch]]:
    middle_epoch = len(epochs) // 2
    return epochs[:middle_epoch], epochs[middle_epoch:]
