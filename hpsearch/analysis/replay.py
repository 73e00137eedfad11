"""The results of a replay: in sentences, and the last firing of each silenced hidden unit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from hpsearch.analysis.formats import format_share
from hpsearch.analysis.trial_facts import cause_words, evidence_facts
from hpsearch.study.messages import format_count, format_number, toml_text
from hpsearch.training.evaluation import evaluate
from hpsearch.training.measurements import SILENT_EXAMPLES
from hpsearch.training.recording import Recording
from hpsearch.verdicts import Finding
from hpsearch.worker.replay import Difference, ReplayCheck


def check_sentence(check: ReplayCheck) -> str:
    """Return the result of the comparison with the stored curve, as a sentence."""
    if check.difference is not None:
        return difference_sentence(check.difference)
    if not check.numbers:
        return "nothing to compare: no finished epoch is stored"
    return (
        f"bit-identical to the stored curve: {format_count(check.epochs, 'epoch')}, {check.numbers:,} numbers"
    )


def difference_sentence(difference: Difference) -> str:
    """Return where a replay deviates from the stored curve, and the possible cause, as a sentence."""
    return (
        f"differs from the stored curve in epoch {difference.epoch + 1:,} (steps {difference.first_step:,} to "
        f"{difference.last_step:,}): {difference.series} is {format_number(difference.replayed, digits=9)} and was "
        f"{format_number(difference.stored, digits=9)}; perhaps {', or '.join(difference.reasons)}"
    )


def length_words(recording: Recording) -> str:
    """Return the length of a run: `132 steps, in 3 epochs`."""
    epochs = -(-recording.steps // recording.subject.steps_per_epoch)
    return f"{format_count(recording.steps, 'step')}, in {format_count(epochs, 'epoch')}"


def settings_words(settings: Mapping[str, Any]) -> str:
    """Return the changed settings in command-line syntax."""
    return ", ".join(
        f"{name}={value if isinstance(value, str) else toml_text(value)}" for name, value in settings.items()
    )


def finding_words(finding: Finding) -> str:
    """Return a run's verdict, its confidence, and its evidence, as text."""
    evidence = ", ".join(f"{name} {value}" for name, value in evidence_facts(finding))
    sure = f"confidence {format_share(finding.confidence, 1)}"
    return f"{cause_words(finding)} ({sure}{'; ' if evidence else ''}{evidence})"


def nonfinite_sentence(recording: Recording) -> str:
    """Return the place of the first non-finite number, as a sentence; empty if there is none."""
    found = recording.nonfinite
    if found is None:
        return ""
    layer = "" if found.layer is None else f" of layer {found.layer + 1}"
    return f"The first number that is not finite is in the {found.array}{layer}, at step {found.step:,}."


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class LayerUnits:
    """The units of one hidden layer (format_count from 1), `deaths` by unit: the step of the last firing, -1 for never.

    `never_positive` is the share of units that are positive for none of the `held_back` validation examples at the end.
    """

    layer: int
    units: int
    deaths: dict[int, int]
    never_positive: float
    held_back: int


def layer_units(recording: Recording) -> tuple[LayerUnits, ...]:
    """Return the deaths in each hidden layer."""
    fold = recording.subject.data.validation
    shares = evaluate(recording.network, recording.final, fold).never_positive
    return tuple(
        LayerUnits(
            layer=layer + 1,
            units=len(last),
            deaths=deaths(recording, layer),
            never_positive=share,
            held_back=len(fold.inputs),
        )
        for layer, (last, share) in enumerate(zip(recording.last_fired, shares, strict=True))
    )


def deaths(recording: Recording, layer: int) -> dict[int, int]:
    """Return the step of the last firing of each unit that was silent to the end, or until numbers were not finite.

    A unit is silent if it did not fire in the last 1,000 examples or more, or in the second half of a run of fewer than
    2,000, as dying trials often have. NaN counts neither as firing nor as a death.
    """
    end = recording.steps if recording.nonfinite is None else recording.nonfinite.step
    patience = min(-(-SILENT_EXAMPLES // recording.subject.configuration.training.batch_size), end // 2)
    found = enumerate(recording.last_fired[layer].tolist())
    return {unit: step for unit, step in found if step + patience < end}
