"""What a replay showed, in sentences, for the page and the command line alike."""

from collections.abc import Mapping
from typing import Any

from hpsearch.report.formats import format_count, format_share
from hpsearch.report.trial_facts import evidence_facts
from hpsearch.report.words import OUTSIDE
from hpsearch.study.messages import format_number, toml_text
from hpsearch.training.recording import Recording
from hpsearch.verdicts import Cause, Finding
from hpsearch.worker.replay import Difference, ReplayCheck


def check_sentence(check: ReplayCheck) -> str:
    """Say what came of the comparison with the stored curve."""
    if check.difference is not None:
        return difference_sentence(check.difference)
    if not check.numbers:
        return "nothing to compare: no finished epoch is stored"
    return (
        f"bit-identical to the stored curve: {format_count(check.epochs, 'epoch')}, {check.numbers:,} numbers"
    )


def difference_sentence(difference: Difference) -> str:
    """Say where a replay parts from what is stored, and what may have done it."""
    return (
        f"differs from the stored curve in epoch {difference.epoch + 1:,} (steps {difference.first_step:,} to "
        f"{difference.last_step:,}): {difference.series} is {format_number(difference.replayed, digits=9)} and was "
        f"{format_number(difference.stored, digits=9)}; perhaps {', or '.join(difference.reasons)}"
    )


def length_words(recording: Recording) -> str:
    """Say how long a run was: `132 steps, in 3 epochs`."""
    epochs = -(-recording.steps // recording.subject.steps_per_epoch)
    return f"{format_count(recording.steps, 'step')}, in {format_count(epochs, 'epoch')}"


def settings_words(settings: Mapping[str, Any]) -> str:
    """Return what was changed, as it would stand on the command line."""
    return ", ".join(
        f"{name}={value if isinstance(value, str) else toml_text(value)}" for name, value in settings.items()
    )


def finding_words(finding: Finding) -> str:
    """Say what a run's verdict is, how sure, and by what evidence."""
    evidence = ", ".join(f"{name} {value}" for name, value in evidence_facts(finding))
    sure = f"confidence {format_share(finding.confidence, 1)}"
    return f"{cause_words(finding)} ({sure}{'; ' if evidence else ''}{evidence})"


def cause_words(finding: Finding) -> str:
    """Return `diverged_lr from step 132`, or the cause alone where it began nowhere."""
    is_timeless = finding.cause in (*OUTSIDE, Cause.INCONCLUSIVE)
    return finding.cause.value if is_timeless else f"{finding.cause} from step {finding.first_step:,}"


def nonfinite_sentence(recording: Recording) -> str:
    """Say where the first number that is not finite was; empty where there is none."""
    found = recording.nonfinite
    if found is None:
        return ""
    where = "" if found.layer is None else f" of layer {found.layer + 1}"
    return f"The first number that is not finite is in the {found.array}{where}, at step {found.step:,}."
