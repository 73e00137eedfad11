"""Causes with steps of the right length and no learning: the data has no signal, or it is lost."""

import math
from collections.abc import Sequence
from typing import Final

from hpsearch.diagnosis.dead_units import is_saturated
from hpsearch.diagnosis.facts import TrialFacts
from hpsearch.diagnosis.progress import (
    RECENT_SAMPLES,
    better_learning_rate,
    finite_evidence,
    has_learned,
    last_samples,
    median_of,
    onset_step,
    probes,
    samples_needed,
    validates_above_chance,
)
from hpsearch.diagnosis.remedies import Remedy
from hpsearch.study.messages import format_number
from hpsearch.telemetry import Sample, Telemetry
from hpsearch.verdicts import Cause, Finding

SAMPLES: Final = 5
CONSTANT_SHARE: Final = 0.95
UNBALANCED_SHARE: Final = 0.9
SKEWED_FACTOR: Final = 1.5
TIMID_STEPS: Final = 0.9
HIGHER_FACTOR: Final = 10.0
RARE_ANSWERS: Final = 0.1
COLLAPSED_EXAMPLES: Final = 500
DECAY_RATIO: Final = 2.0
SOUND_RATIO: Final = 2e-3
"""At the first step, this share of the data's pull leaves the weights to the data."""

LOWEST_DECAY_FACTOR: Final = 0.1
SHRUNK_SHARE: Final = 1 / 3
FAR_SHRUNK_SHARE: Final = 0.2
NOTHING_LEARNED: Final = 0.9
DECAYED_LEARNED: Final = 0.2
LEAST_STEPS: Final = 200
UNRELATED_FROM: Final = 75
UNRELATED_TO: Final = 300
CHANCE_DEVIATIONS: Final = 3.3
NEAR_CHANCE: Final = 0.8
FAR_FROM_CHANCE: Final = 1.3
MOST_COSINE: Final = 0.3
MOST_COHERENCE: Final = 3.0
TIMID_GAIN: Final = 0.99
BETTER_SHARE: Final = 0.85
KNOWN_SHARE: Final = 0.95
PREDICTIVE_SHARE: Final = 0.85
BETTER_EXCESS: Final = 1.5
ROUNDED_ACCURACY: Final = 0.02
EARLY_PASSES: Final = 10
EARLY_ANSWERS: Final = 0.125
MOST_SILENT_SHARE: Final = 0.5
LEAST_RANGE: Final = 0.25
"""Outputs that differ by less between any two examples do not prove that the network sees its inputs."""

MOST_PROGRAM_COHERENCE: Final = 1.2
LEAST_PROGRAM_RANGE: Final = 0.1
"""The same two bounds in programs, whose usual initializations give smaller outputs: PyTorch's networks on shuffled
digits have ranges from 0.11 and a coherence of at most 1.0; those that learn the true labels slowly, from 1.28 on.
"""


def chance_deviation(share: float, examples: int) -> float:
    """Return 3.3 standard deviations of a binomial share: one in two thousand exceeds it by luck."""
    return CHANCE_DEVIATIONS * math.sqrt(share * (1 - share) / examples)


def wd_dominates(telemetry: Telemetry, facts: TrialFacts) -> Finding | None:
    """Find weight decay that shrank the weights to a third, or made them explode, in a network that learned nothing.

    TheDeepChecker compares wd |W| with |g|, above 2 in 5 windows. That holds at first only: weights shrink until both
    are equal and stay there, so the rule compares the weights' norm with that of the first step. If the ratio is above
    2 in the first step and that step of the output layer longer than its weights, they do not shrink but explode.
    Networks near the best of their search shrink to a third too, if the data is noisy: weights that still lower the
    loss must have shrunk to a fifth.
    """
    decay = facts.configuration.training.weight_decay
    samples = telemetry.samples
    if (
        decay == 0
        or not samples
        or not samples[0].layers
        or has_learned(telemetry, facts, share=DECAYED_LEARNED)
    ):
        return None
    first, last = samples[0], samples[-1]
    learns = has_learned(telemetry, facts, share=NOTHING_LEARNED) or validates_above_chance(telemetry, facts)
    has_shrunk = last.weight_norm < (FAR_SHRUNK_SHARE if learns else SHRUNK_SHARE) * first.weight_norm
    pull = math.inf if first.gradient_norm == 0 else decay * first.weight_norm / first.gradient_norm
    throws = pull > DECAY_RATIO and first.layers[-1].update_norm > first.layers[-1].weight_norm
    if not (has_shrunk or throws):
        return None
    lower = decay * min(SOUND_RATIO / pull if pull > 0 else 1.0, LOWEST_DECAY_FACTOR)
    return Finding(
        cause=Cause.WD_DOMINATES,
        confidence=0.95,
        first_step=0,
        evidence=finite_evidence(
            weight_decay=decay,
            first_decay_ratio=pull,
            weight_norm_share=last.weight_norm / first.weight_norm if first.weight_norm > 0 else math.nan,
            loss=last.loss,
        ),
        remedy=f"Lower the weight decay from {format_number(decay)} to {format_number(lower)}: it outweighs the data.",
        suggested={"weight_decay": lower},
    )


def collapsed_output(telemetry: Telemetry, facts: TrialFacts) -> Finding | None:
    """Find answers that are nearly all one class, no more of them right than its share, although units fire.

    Nearly all: other classes are answered at less than a tenth of their share, and for less than a twentieth of the
    examples. A network that finds half of a rare class answers it at about half of its share. The samples must show
    500 examples. If the class has nine tenths of the training part or more, the cause is its imbalance, visible in
    validation.
    """
    if not facts.is_classification or not telemetry.samples or telemetry.steps < LEAST_STEPS:
        return None
    last = telemetry.samples[-1]
    run = last_samples(telemetry, max(SAMPLES, samples_needed(last, facts, examples=COLLAPSED_EXAMPLES)))
    majority = facts.data.majority_share
    constant_from = max(CONSTANT_SHARE, 1 - RARE_ANSWERS * (1 - _usual_majority(facts)))
    if not run or last.dead_share > MOST_SILENT_SHARE:
        return None
    if any(not sample.top_share >= constant_from for sample in run):
        return None
    accuracy = median_of(run, lambda sample: sample.accuracy)
    if accuracy > majority + chance_deviation(majority, COLLAPSED_EXAMPLES):
        return None
    is_unbalanced = majority >= UNBALANCED_SHARE and _validates_at(majority, telemetry, facts)
    if not is_unbalanced and (has_learned(telemetry, facts) or validates_above_chance(telemetry, facts)):
        return None
    remedy = _one_answer_remedy(telemetry, facts)
    return Finding(
        cause=Cause.COLLAPSED_OUTPUT,
        confidence=0.85,
        first_step=onset_step(telemetry, lambda sample: sample.top_share >= constant_from),
        evidence=finite_evidence(top_share=run[-1].top_share, majority_share=majority, accuracy=accuracy),
        remedy=f"The network gives one answer: {remedy.text}.",
        suggested=remedy.suggested,
    )


def _one_answer_remedy(telemetry: Telemetry, facts: TrialFacts) -> Remedy:
    """Return the remedy for one answer: balanced classes if they are not, else longer or shorter steps."""
    classes = sum(share > 0 for share in facts.data.class_shares)
    if facts.data.majority_share > SKEWED_FACTOR / max(1, classes):
        return Remedy(text="balance the classes, or change the learning rate", suggested={})
    is_timid = median_of(probes(telemetry), lambda sample: sample.gain) > TIMID_STEPS
    better = HIGHER_FACTOR * facts.learning_rate if is_timid else better_learning_rate(telemetry, facts)
    verb = "raise" if is_timid else "lower"
    text = f"{verb} the learning rate from {format_number(facts.learning_rate)} to {format_number(better)}"
    return Remedy(text=text, suggested={"learning_rate": better})


def _usual_majority(facts: TrialFacts) -> float:
    """Return the share of the most frequent class, in validation if it is clearly less there: training lacks others."""
    majority, there = facts.data.majority_share, max(facts.data.validation_shares, default=1.0)
    deviation = chance_deviation(majority, max(1, facts.data.validation_examples))
    return there if there < majority - deviation else majority


def _validates_at(majority: float, telemetry: Telemetry, facts: TrialFacts) -> bool:
    """Return True if validation is no better than answering with the most frequent class."""
    accuracy = telemetry.epochs[-1].validation_accuracy if telemetry.epochs else None
    share = max(facts.data.validation_shares, default=majority)
    if accuracy is None or facts.data.validation_examples == 0:
        return False
    return accuracy < share + chance_deviation(share, facts.data.validation_examples)


def labels_unrelated(telemetry: Telemetry, facts: TrialFacts) -> Finding | None:
    """Find sound steps that each lower their own minibatch's loss, but not the next one's: no shared signal.

    It uses the steps 75 to 300, before a network can memorize a small data set: the loss stays near that of chance,
    gradients of the output layer turn at random from minibatch to minibatch (cosine near 0), and within one the
    examples' gradients are near orthogonal (m-coherence near 1, Chatterjee and Zielinski 2020), as with shuffled labels
    (Zhang et al. 2017). If all inputs give nearly the same outputs the network is blind, and proves nothing about the
    labels.
    """
    run = early_samples(telemetry)
    if telemetry.steps < LEAST_STEPS or not run or has_learned(telemetry, facts):
        return None
    last = telemetry.samples[-1]
    if last.dead_share > MOST_SILENT_SHARE or is_saturated(last, facts) or not is_near_chance(run, facts):
        return None
    least_range, most_coherence = LEAST_RANGE, MOST_COHERENCE
    if facts.program is not None:
        least_range, most_coherence = LEAST_PROGRAM_RANGE, MOST_PROGRAM_COHERENCE
    if median_of(run, lambda sample: sample.output_range) < least_range:
        return None
    cosine, coherence = median_of(run, _cosine), median_of(run, lambda sample: sample.coherence)
    gain = median_of(probes(telemetry), lambda sample: sample.gain)
    if not (abs(cosine) < MOST_COSINE and coherence < most_coherence and 0 < gain < TIMID_GAIN):
        return None
    if _answers_early(run, facts) or _generalizes(telemetry, facts) or _has_been_ahead(telemetry, facts):
        return None
    return Finding(
        cause=Cause.LABELS_UNRELATED,
        confidence=0.75,
        first_step=0,
        evidence=finite_evidence(
            accuracy=median_of(run, lambda sample: sample.accuracy),
            loss=median_of(run, lambda sample: sample.loss),
            coherence=coherence,
            gradient_cosine=cosine,
            gain=gain,
        ),
        remedy="The inputs do not predict the labels: check that examples and labels belong together.",
    )


def early_samples(telemetry: Telemetry) -> Sequence[Sample]:
    """Return the samples of steps 75 to 300."""
    return [sample for sample in telemetry.samples if UNRELATED_FROM <= sample.step <= UNRELATED_TO]


def is_near_chance(run: Sequence[Sample], facts: TrialFacts) -> bool:
    """Return True if the loss is near that of a network that ignores its inputs."""
    loss = median_of(run, lambda sample: sample.loss)
    return NEAR_CHANCE * facts.chance_loss < loss < FAR_FROM_CHANCE * facts.chance_loss


def _answers_early(run: Sequence[Sample], facts: TrialFacts) -> bool:
    """Return True if training answers exceed chance before a network can memorize its examples: within ten passes.

    By more than 3.3 standard errors of as many different examples, and an eighth of the gap between the majority's
    share and 1: on the tuning families networks closed at most 0.098 of it with shuffled labels, and 0.13 to 0.43 with
    noisy ones, or if validation's alone were shuffled.
    """
    early = [sample for sample in run if sample.step < EARLY_PASSES * facts.steps_per_epoch]
    seen = sum(sample.examples for sample in early)
    if not facts.is_classification or seen == 0:
        return False
    majority, examples = facts.data.majority_share, min(seen, facts.data.examples)
    answered = sum(sample.accuracy * sample.examples for sample in early) / seen
    return answered - majority > max(EARLY_ANSWERS * (1 - majority), chance_deviation(majority, examples))


def _generalizes(telemetry: Telemetry, facts: TrialFacts) -> bool:
    """Return True if validation is as good as training, and above chance: then labels are noisy, not shuffled.

    Training is its last eighth, because a network that starts slowly answers much better at its end than on average. If
    nine of ten training labels are shuffled and validation's are not, validation is answered better by far.
    """
    if not telemetry.epochs:
        return False
    last = telemetry.epochs[-1]
    if last.validation_accuracy is None:
        return BETTER_SHARE * last.training_loss < last.validation_loss < KNOWN_SHARE * facts.chance_loss
    majority = facts.data.majority_share
    recent = telemetry.samples[-max(RECENT_SAMPLES, len(telemetry.samples) // 8) :]
    trained = sum(sample.accuracy for sample in recent) / len(recent)
    examples = facts.data.validation_examples
    known_from = majority + (chance_deviation(majority, examples) if examples else 0.0)
    beyond = math.inf if math.isnan(trained) else BETTER_EXCESS * (trained - majority) + ROUNDED_ACCURACY
    return known_from < last.validation_accuracy < majority + beyond


def _has_been_ahead(telemetry: Telemetry, facts: TrialFacts) -> bool:
    """Return True if an epoch's losses were both clearly below chance's: then inputs predict, whatever came later."""
    return any(
        max(epoch.training_loss, epoch.validation_loss) < PREDICTIVE_SHARE * facts.chance_loss
        for epoch in telemetry.epochs
    )


def _cosine(sample: Sample) -> float:
    return sample.gradient_cosine
