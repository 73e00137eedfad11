"""Causes in which hidden units stop firing and with them their gradients, or lie on a flat part of the activation.

A unit is silent on a minibatch if its activation is not positive for any example. Thresholds and counts come from 2,360
measured runs on MNIST. LeakyReLU is left out: its silent units still have a gradient, and 28 of 225 runs whose layers
fell silent learned.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from hpsearch.diagnosis.facts import TrialFacts
from hpsearch.diagnosis.progress import (
    better_learning_rate,
    current_loss,
    finite_evidence,
    has_learned,
    last_samples,
    lower_learning_rate,
    median_of,
    onset_step,
    probes,
    samples_needed,
    validates_above_chance,
)
from hpsearch.diagnosis.remedies import initial_weights, is_narrow, wider_layers
from hpsearch.telemetry import LayerSample, Sample, Telemetry
from hpsearch.trials import ParameterValue
from hpsearch.verdicts import Cause, Finding

SILENT_SHARE: Final = 0.85
WHOLE_SHARE: Final = 0.98
WHOLE_SAMPLES: Final = 3
"""Samples in which a layer is dead as a whole: in one alone, the last living unit may be silent by chance."""

STEPS_IN_A_ROW: Final = 10
LEAST_EXAMPLES: Final = 1000
FEWEST_EXAMPLES: Final = 300
"""A unit that is silent for this many examples fires for less than 1 % of them, at 95 %."""
ZERO_GRADIENTS_IN_A_ROW: Final = 3
ZERO_GRADIENT_EXAMPLES: Final = 100
"""A gradient of exactly 0 proves a dead layer on a minibatch of this size; that of an input of 0 is always 0."""
PARTIAL_SHARE: Final = 0.25
PARTIAL_LEARNED: Final = 0.3
LOST_SHARE: Final = 0.35
HALF_LEARNED: Final = 0.5
OVERSHOT_GAIN: Final = 0.8
AT_CHANCE: Final = 0.95
SETTLING_STEPS: Final = 50
NOTHING_LEARNED: Final = 0.9
DROPPED_SHARE: Final = 0.01
PARTIAL_RISE: Final = 0.1
SATURATED_SHARE: Final = 0.5
SATURATED_SAMPLES: Final = 3
SATURATED_LEARNED: Final = 0.6
FLAT_SHARE: Final = 0.9
FLAT_LEARNED: Final = 0.2
BORN_LOSS: Final = 20.0
BORN_LEARNED: Final = 0.1
"""Layers that were flat at the first step, at a loss 20 times chance's, hold the loss above a tenth of chance's.

On the tuning families 2 of 2 such runs at 0.16 and 0.19 were worse than their base, none of 4 below 0.02 was.
"""


_RELU: Final = frozenset({"relu"})
_WITH_PLATEAU: Final = frozenset({"elu", "selu", "gelu", "silu"})
_SIGMOIDAL: Final = frozenset({"sigmoid", "tanh"})


def dead_total(telemetry: Telemetry, facts: TrialFacts) -> Finding | None:
    """Find a dead ReLU layer: 98 % of units or more silent after ten samples above 85 %, or W1 gradients of exactly 0.

    More samples if ten show fewer than 1,000 examples; during alarms they are taken at every step. A gradient of 0
    counts only if its minibatch has 100 examples, or if a layer is silent for all of the sample's examples. Ten steps
    above 85 % caught 221 of 221 stuck ReLU, ELU and SELU runs 14 to 25 steps in and none of 742 that learned; three
    gradients of exactly 0 in a row 121 of 137 stuck ReLU runs and none of 1,111 that learned.
    """
    if facts.activation not in _RELU:
        return None
    run = _silent_run(telemetry, facts) or _zero_gradient_run(telemetry)
    if run is None or _was_dead_at_start(telemetry) or has_learned(telemetry, facts):
        return None
    whole = run[-WHOLE_SAMPLES:]
    if any(sample.dead_share < WHOLE_SHARE for sample in whole) and not _has_no_gradient(run[-1]):
        return None
    return _dead_units_finding(Cause.DEAD_RELU_TOTAL, run, telemetry, facts)


def born_dead(telemetry: Telemetry, facts: TrialFacts) -> Finding | None:
    """Find a silent layer, or a first layer's gradient of exactly 0, from the first step on, due to initial weights.

    Deep narrow ReLU networks are born so (Lu et al. 2019).
    """
    if facts.activation not in _RELU | _WITH_PLATEAU:
        return None
    run = _silent_run(telemetry, facts) or _zero_gradient_run(telemetry)
    if run is None or not _was_dead_at_start(telemetry) or has_learned(telemetry, facts):
        return None
    remedy = wider_layers(facts) if is_narrow(facts) else initial_weights(facts)
    return Finding(
        cause=Cause.BORN_DEAD,
        confidence=_confidence(run),
        first_step=0,
        evidence=_evidence(run, facts),
        remedy=f"The units are silent from the first step: {remedy.text}.",
        suggested=remedy.suggested,
    )


def negative_plateau(telemetry: Telemetry, facts: TrialFacts) -> Finding | None:
    """Find a layer on the negative side of ELU, SELU, GELU or SiLU, with a vanishing gradient: as `dead_total`."""
    if facts.activation not in _WITH_PLATEAU:
        return None
    run = _silent_run(telemetry, facts)
    if run is None or _was_dead_at_start(telemetry) or has_learned(telemetry, facts):
        return None
    return _dead_units_finding(Cause.NEG_PLATEAU, run, telemetry, facts)


def dead_nearly(telemetry: Telemetry, facts: TrialFacts) -> Finding | None:
    """Find a ReLU layer that lost 85 % of its units and more for twice as many samples, and learned nothing.

    Two units of sixteen are enough for an easy task: a loss a tenth below chance's, or validation above chance, shows
    that the rest learns. The layer must stay so for 50 steps, in which units that are still dying die.
    """
    if facts.activation not in _RELU:
        return None
    run = _silent_run(telemetry, facts, times=2)
    if run is None or _was_dead_at_start(telemetry) or has_learned(telemetry, facts, share=NOTHING_LEARNED):
        return None
    if run[-1].step - run[0].step < SETTLING_STEPS or validates_above_chance(telemetry, facts):
        return None
    return _dead_units_finding(Cause.DEAD_RELU_PARTIAL, run, telemetry, facts)


def dead_partial(telemetry: Telemetry, facts: TrialFacts) -> Finding | None:
    """Find a quarter of a ReLU layer's units or more that stopped firing in training; the others learn little.

    Networks that learn lose units too: of 1,000 runs near the best of their search 51 lost a quarter and more. So the
    loss must be that of chance. Or steps must be so long that they explain it (rho below 0.8: on the tuning families
    none of 14 good runs with a quarter lost and a loss above 0.15 of chance's was below 0.87, and the ill ones were
    below 0.76), with the loss above half of chance's, or above three tenths if 85 % of the units are lost.
    Units and not activations are counted, since a healthy layer may be silent for most examples, unit by unit: those
    that have not fired for 1,000 examples, or, if fewer are seen, the least silent share of ten samples.
    """
    if facts.activation not in _RELU or not telemetry.samples or _is_masked_by_dropout(telemetry, facts):
        return None
    if has_learned(telemetry, facts, share=PARTIAL_LEARNED):
        return None
    first, last = telemetry.samples[0], telemetry.samples[-1]
    is_at_chance = not has_learned(telemetry, facts, share=AT_CHANCE)
    overshoots = median_of(probes(telemetry), lambda sample: sample.gain) < OVERSHOT_GAIN
    is_far = not has_learned(telemetry, facts, share=HALF_LEARNED)
    least = PARTIAL_SHARE if is_at_chance else LOST_SHARE if is_far else SILENT_SHARE
    if not (is_at_chance or overshoots):
        return None
    for place, before in enumerate(first.hidden):
        silent = max(last.layers[place].silent_share, _least_silent(telemetry, place, facts))
        if silent >= least and silent - before.dead_share > PARTIAL_RISE:
            return Finding(
                cause=Cause.DEAD_RELU_PARTIAL,
                confidence=0.8,
                first_step=_layer_onset_step(
                    telemetry, place, lambda layer: layer.dead_share >= PARTIAL_SHARE
                ),
                evidence={"layer": place, "silent_share": silent},
                remedy=_dead_units_remedy(telemetry, facts),
                suggested=_dead_units_values(telemetry, facts),
            )
    return None


def _least_silent(telemetry: Telemetry, place: int, facts: TrialFacts) -> float:
    """Return the least share of a layer's silent units in the last ten samples; 0 if they show too few examples."""
    run = last_samples(telemetry, STEPS_IN_A_ROW)
    if not run or samples_needed(run[-1], facts, examples=FEWEST_EXAMPLES) > STEPS_IN_A_ROW:
        return 0.0
    return min(sample.layers[place].dead_share for sample in run)


def saturated(telemetry: Telemetry, facts: TrialFacts) -> Finding | None:
    """Find a sigmoid or tanh layer with more than half of its activations flat in three samples, and little learned.

    The share of DeepDiagnosis (Wardat et al. 2022), at a derivative of 0.7 % (sigmoid) and 2.7 % (tanh). Networks that
    learn well reach such shares too: the loss must be above three fifths of chance's, or above a fifth if 90 % of the
    activations are flat, or above a tenth if the layer was so from the start, at a huge loss.
    """
    if facts.activation not in _SIGMOIDAL:
        return None
    run = last_samples(telemetry, SATURATED_SAMPLES)
    place = _first_layer(run, lambda layer: layer.saturated_share > SATURATED_SHARE)
    if place is None:
        return None
    is_flat = run[-1].layers[place].saturated_share >= FLAT_SHARE
    since = _layer_onset_step(telemetry, place, lambda layer: layer.saturated_share > SATURATED_SHARE)
    is_from_birth = since == 0
    is_born_huge = is_from_birth and telemetry.samples[0].loss > BORN_LOSS * facts.chance_loss
    learned = BORN_LEARNED if is_born_huge else FLAT_LEARNED if is_flat else SATURATED_LEARNED
    if current_loss(telemetry) <= learned * facts.chance_loss:
        return None
    better = initial_weights(facts, keeps_activation=True)
    suggested: Mapping[str, ParameterValue] = better.suggested
    remedy = f"The units are flat from the first step: {better.text}."
    if not is_from_birth:
        suggested = {"learning_rate": better_learning_rate(telemetry, facts)}
        remedy = f"{lower_learning_rate(telemetry, facts)}: its steps drove the units into their flat range."
    return Finding(
        cause=Cause.SATURATED,
        confidence=0.9,
        first_step=since,
        evidence={"layer": place, "saturated_share": run[-1].layers[place].saturated_share},
        remedy=remedy,
        suggested=suggested,
    )


def is_saturated(sample: Sample, facts: TrialFacts) -> bool:
    """Return True if more than half of the activations of a sigmoid or tanh layer are flat."""
    return facts.activation in _SIGMOIDAL and any(
        layer.saturated_share > SATURATED_SHARE for layer in sample.hidden
    )


def _silent_run(telemetry: Telemetry, facts: TrialFacts, *, times: int = 1) -> Sequence[Sample] | None:
    """Return the samples of the silent stretch at the telemetry's end, if it is long enough, `times` over.

    A layer with a skip around it does not count: signal and gradient pass even if it is silent.
    """
    if (
        not telemetry.samples
        or telemetry.samples[-1].dead_share < SILENT_SHARE
        or _is_masked_by_dropout(telemetry, facts)
    ):
        return None
    needed = max(STEPS_IN_A_ROW, samples_needed(telemetry.samples[-1], facts, examples=LEAST_EXAMPLES))
    run = last_samples(telemetry, times * needed)
    passable = {place for place, skips in enumerate(facts.configuration.model.skips) if skips}
    place = _first_layer(run, lambda layer: layer.dead_share >= SILENT_SHARE, besides=passable)
    return None if place is None else run


def _zero_gradient_run(telemetry: Telemetry) -> Sequence[Sample] | None:
    """Return the last three samples if the first layer's gradient was exactly 0 in all of them."""
    run = last_samples(telemetry, ZERO_GRADIENTS_IN_A_ROW)
    if not run or not run[0].hidden:
        return None
    return run if all(_has_no_gradient(sample) for sample in run) else None


def _has_no_gradient(sample: Sample) -> bool:
    """Return True if the first layer's gradient is exactly 0 because of its units, and not of the few examples."""
    if not sample.hidden or sample.layers[0].gradient_norm != 0:
        return False
    is_silent = sample.dead_share == 1.0 and sample.examples >= ZERO_GRADIENT_EXAMPLES
    return is_silent or sample.batch_examples >= ZERO_GRADIENT_EXAMPLES


def _is_masked_by_dropout(telemetry: Telemetry, facts: TrialFacts) -> bool:
    """Return True if dropout alone silences more than one unit of a hundred for a whole minibatch."""
    configuration, last = facts.configuration, telemetry.samples[-1]
    if last.examples > last.batch_examples:
        return False
    return bool(configuration.model.dropout**configuration.training.batch_size > DROPPED_SHARE)


def _was_dead_at_start(telemetry: Telemetry) -> bool:
    """Return True if a layer was silent, or the first layer's gradient 0, in the very first step."""
    return _is_dying(telemetry.samples[0])


def _first_layer(
    run: Sequence[Sample], holds: Callable[[LayerSample], bool], *, besides: Collection[int] = ()
) -> int | None:
    """Return the first hidden layer, `besides` some, for which `holds` in every sample of `run`; None without any."""
    places = [place for place in range(len(run[0].hidden)) if place not in besides] if run else []
    return next((place for place in places if all(holds(sample.layers[place]) for sample in run)), None)


def _layer_onset_step(telemetry: Telemetry, place: int, holds: Callable[[LayerSample], bool]) -> int:
    """Return the step since which `holds` for a layer that it holds for now."""
    return onset_step(telemetry, lambda sample: holds(sample.layers[place]))


def _dead_units_finding(
    cause: Cause, run: Sequence[Sample], telemetry: Telemetry, facts: TrialFacts
) -> Finding:
    return Finding(
        cause=cause,
        confidence=_confidence(run),
        first_step=onset_step(telemetry, _is_dying),
        evidence=_evidence(run, facts),
        remedy=_dead_units_remedy(telemetry, facts),
        suggested=_dead_units_values(telemetry, facts),
    )


def _is_dying(sample: Sample) -> bool:
    return sample.dead_share >= SILENT_SHARE or _has_no_gradient(sample)


def _confidence(run: Sequence[Sample]) -> float:
    return 1.0 if _has_no_gradient(run[-1]) else 0.95


def _evidence(run: Sequence[Sample], facts: TrialFacts) -> dict[str, float]:
    last = run[-1]
    return finite_evidence(
        dead_share=last.dead_share,
        samples=len(run),
        gradient_norm_first_layer=last.layers[0].gradient_norm,
        loss=last.loss,
        learning_rate=facts.learning_rate,
    )


def _dead_units_remedy(telemetry: Telemetry, facts: TrialFacts) -> str:
    if is_narrow(facts):
        return f"All units of a narrow layer died: {wider_layers(facts).text}."
    normalize = "" if facts.configuration.model.batch_norm else " or model.batch_norm = true"
    leaky = f'try model.activation = "leaky_relu"{normalize}'
    return f"{lower_learning_rate(telemetry, facts)}, or {leaky}."


def _dead_units_values(telemetry: Telemetry, facts: TrialFacts) -> Mapping[str, ParameterValue]:
    if is_narrow(facts):
        return wider_layers(facts).suggested
    return {"learning_rate": better_learning_rate(telemetry, facts)}
