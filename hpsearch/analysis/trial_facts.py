"""The facts of one trial, as names and texts, for the terminal and for pages."""

from collections.abc import Iterator

from hpsearch.analysis.formats import format_parameter, format_result, format_share, format_time
from hpsearch.storage.records import Foreign
from hpsearch.study.messages import format_number
from hpsearch.study.spec import DIAGNOSED_CAUSES
from hpsearch.trials import FIXED, OTHERS, Fate, ParameterValue, Trial, TrialState
from hpsearch.verdicts import DIAGNOSED, Cause, Finding

OUTSIDE = frozenset(set(Cause) - set(DIAGNOSED_CAUSES) - {Cause.INCONCLUSIVE})
"""Verdicts unrelated to any step of the optimizer."""


def given_in_advance(trial: Trial) -> dict[str, ParameterValue]:
    """Return the values with which any Optuna client enqueued the trial; empty if it was not enqueued."""
    given = trial.system_attributes.get(FIXED)
    if not isinstance(given, dict):
        return {}
    return {name: value for name, value in given.items() if isinstance(value, float | int | str | None)}


def parameter_facts(trial: Trial) -> Iterator[tuple[str, str]]:
    """Yield the parameters, numbers with six digits, including enqueued ones before the trial begins."""
    given = given_in_advance(trial)
    for name, value in {**given, **trial.params}.items():
        mark = " (given in advance)" if name in given and given[name] == value else ""
        shown = format_number(value, digits=6) if isinstance(value, float) else format_parameter(value)
        yield name, f"{shown}{mark}"


def evidence_facts(finding: Finding) -> list[tuple[str, str]]:
    """Return the evidence, numbers with four digits; `also found` names the diagnosis of an outranked trial."""
    return [
        ("also found", f"{name.removeprefix(DIAGNOSED)}, confidence {format_share(value, 1)}")
        if name.startswith(DIAGNOSED)
        else (name, format_number(value, digits=4))
        for name, value in finding.evidence.items()
    ]


def suggested_facts(finding: Finding) -> list[tuple[str, str]]:
    """Return the values that should fix the trial."""
    return [(name, format_parameter(value)) for name, value in finding.suggested.items()]


def course_facts(trial: Trial) -> Iterator[tuple[str, str]]:
    """Yield the trial's fate, its training, worker and times; facts that are not yet available are left out."""
    yield "fate", trial.fate.value
    yield "epochs", f"{trial.epochs:,}"
    yield "steps", f"{trial.steps:,}"
    yield "attempts", f"{trial.attempts:,}"
    yield from _times(trial)


def _times(trial: Trial) -> Iterator[tuple[str, str]]:
    if trial.owner is not None:
        yield "worker", trial.owner
    if trial.started is not None:
        yield "started", format_time(trial.started)
    if trial.finished is not None:
        yield "finished", format_time(trial.finished)


def foreign_facts(trial: Trial, foreign: Foreign) -> Iterator[tuple[str, str]]:
    """Yield the results and course of a trial in another Optuna client's study, which has no epochs and attempts."""
    values = trial.values or (trial.value,)
    for name, value in zip(foreign.metrics, values, strict=False):
        yield name, format_result(value, name)
    if trial.constraints:
        mark = " (violated)" if trial.is_infeasible else ""
        yield "constraints", f"{', '.join(format_result(c, 'constraint') for c in trial.constraints)}{mark}"
    yield "state", trial.state.value
    yield from _times(trial)


def end_words(trial: Trial) -> str:
    """Return how the trial ended and why: `diverged, diverged_lr from step 132`; one of the two if both are equal."""
    verdict = verdict_words(trial)
    if trial.fate is Fate.OTHER:
        return "given up by a user" if trial.verdict is Cause.STOPPED else f"stopped for {verdict}"
    return verdict if verdict == trial.fate.value else f"{trial.fate}, {verdict}"


def verdict_words(trial: Trial) -> str:
    """Return the reason for the trial's end: `diverged_lr from step 132`, `healthy`; its state if it has no verdict."""
    if trial.finding is None:
        if trial.state is TrialState.RUNNING and trial.worker is None:
            return f"run by {OTHERS}"
        return "no verdict" if trial.state.is_final else trial.state.value
    return cause_words(trial.finding)


def cause_words(finding: Finding) -> str:
    """Return `diverged_lr from step 132`, or the verdict alone if it has no first step."""
    is_timeless = finding.cause in (*OUTSIDE, Cause.INCONCLUSIVE)
    return finding.cause.value if is_timeless else f"{finding.cause} from step {finding.first_step:,}"
