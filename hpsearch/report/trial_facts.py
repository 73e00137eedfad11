"""What is known of one trial, as names and texts, for the terminal and for pages alike."""

from collections.abc import Iterator

from hpsearch.report.formats import format_parameter, format_time
from hpsearch.study.messages import format_number
from hpsearch.trials import FIXED, ParameterValue, Trial
from hpsearch.verdicts import Finding


def given_in_advance(trial: Trial) -> dict[str, ParameterValue]:
    """Return what the trial was enqueued with, by whatever Optuna client; nothing for one that was not."""
    given = trial.system_attributes.get(FIXED)
    if not isinstance(given, dict):
        return {}
    return {name: value for name, value in given.items() if isinstance(value, float | int | str)}


def parameter_facts(trial: Trial) -> Iterator[tuple[str, str]]:
    """Yield the parameters, numbers with six digits; those that the trial was enqueued with before it begins, too."""
    given = given_in_advance(trial)
    for name, value in {**given, **trial.params}.items():
        mark = " (given in advance)" if name in given and given[name] == value else ""
        shown = format_number(value, digits=6) if isinstance(value, float) else format_parameter(value)
        yield name, f"{shown}{mark}"


def evidence_facts(finding: Finding) -> list[tuple[str, str]]:
    """Return the evidence, numbers with four digits."""
    return [(name, format_number(value, digits=4)) for name, value in finding.evidence.items()]


def suggested_facts(finding: Finding) -> list[tuple[str, str]]:
    """Return the values that should heal the trial."""
    return [(name, format_parameter(value)) for name, value in finding.suggested.items()]


def course_facts(trial: Trial) -> Iterator[tuple[str, str]]:
    """Yield how the trial stands, what it trained, by whom and when; what is not known yet is left out."""
    yield "state", trial.state.value
    yield "epochs", f"{trial.epochs:,}"
    yield "steps", f"{trial.steps:,}"
    yield "attempts", f"{trial.attempts:,}"
    if trial.owner is not None:
        yield "worker", trial.owner
    if trial.started is not None:
        yield "started", format_time(trial.started)
    if trial.finished is not None:
        yield "finished", format_time(trial.finished)
