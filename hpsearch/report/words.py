"""Sentences and rows about a study, for the report and the command line alike."""

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, final

import numpy as np

from hpsearch.report.configurations import configuration_name
from hpsearch.report.confirmation import Repeated, confirmation, ranked_trials, rival_of, seeds_words
from hpsearch.report.formats import format_count, format_parameters, format_result, format_short_metric
from hpsearch.storage.records import Evaluation, Progress, StoredStudy
from hpsearch.study.spec import StudySpec
from hpsearch.trials import OTHERS, Fate, Trial, TrialState
from hpsearch.verdicts import Cause

StudyState: TypeAlias = Literal["finished", "paused", "stopped", "running", "open", "idle"]

MADE_BY_OPTUNA = "made by Optuna"

OUTSIDE = frozenset({Cause.OUTRANKED, Cause.WORKER_LOST, Cause.CODE_ERROR, Cause.STOPPED, Cause.HEALTHY})
"""Causes that no step of the optimizer brought about."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class FateRow:
    """How many trials met one fate, and the epochs that they began."""

    fate: Fate
    trials: int
    epochs: int


def best_lines(
    trials: Sequence[Trial], study: StoredStudy, count: int = 5, *, evaluations: Sequence[Evaluation] = ()
) -> list[str]:
    """Return `Best-1 (val acc 0.989) | learning_rate 0.79, weight_decay 9.5e-06`, one line a trial.

    At most `count` lines, best first; none if no trial is complete with a finite value. `evaluations` are those of
    the study: a trial that was trained with fresh seeds has their mean, `val acc 0.925 over 5 fresh seeds, 0.905 in
    the search`, and these come first.
    """
    if has_several_objectives(study):
        front = leading_trials(trials, study, count=count)
        return [
            f"Pareto-{rank} ({value_words(trial, study)}) | {setting_words(trial, study.spec)}"
            for rank, trial in enumerate(front, start=1)
        ]
    metric, maximize = study.spec.metric, study.maximize
    best = ranked_trials(trials, evaluations, metric=metric, maximize=maximize, count=count)
    found = confirmation(best, evaluations, metric=metric, maximize=maximize)
    confirmed = {one.number: one for one in found}
    return [
        f"Best-{rank} ({result_words(trial, confirmed.get(trial.number), metric)})"
        f" | {setting_words(trial, study.spec)}{_told_words(trial, study)}"
        for rank, trial in enumerate(best, start=1)
    ]


def result_words(trial: Trial, confirmed: Repeated | None, metric: str) -> str:
    """Return `val acc 0.905`, or with fresh seeds `val acc 0.925 over 5 fresh seeds, 0.905 in the search`."""
    value = format_result(trial.value, metric) if confirmed is None else seeds_words(confirmed, metric)
    return f"{format_short_metric(metric)} {value}"


def rival_words(
    trials: Sequence[Trial], study: StoredStudy, *, evaluations: Sequence[Evaluation] = ()
) -> str | None:
    """Return what to do if a trial did better in the search than all that were confirmed; None if none did."""
    metric = study.spec.metric
    rival = rival_of(trials, evaluations, metric=metric, maximize=study.maximize)
    if rival is None:
        return None
    return (
        f"Trial {rival.number} did better in the search ({result_words(rival, None, metric)}) and has no fresh seeds "
        f"yet: `hpsearch study confirm {shlex.quote(study.spec.name)}` trains it with them."
    )


def has_several_objectives(study: StoredStudy) -> bool:
    """True for a study of another Optuna client that has no one best trial, but a front of several objectives."""
    return study.foreign is not None and len(study.foreign.metrics) > 1


def leading_trials(
    trials: Sequence[Trial], study: StoredStudy, evaluations: Sequence[Evaluation] = (), *, count: int
) -> list[Trial]:
    """Return the best trials, best first, as `ranked_trials` orders them.

    Of several objectives these are the trials that no other one beats in all of them, by number.
    """
    if study.foreign is None or not has_several_objectives(study):
        metric = study.spec.metric
        return ranked_trials(trials, evaluations, metric=metric, maximize=study.maximize, count=count)
    maximize = study.foreign.maximize
    able = [
        t
        for t in trials
        if t.is_ranked and len(t.values) == len(maximize) and all(map(math.isfinite, t.values))
    ]
    signs = np.where(np.array(maximize), 1.0, -1.0)
    scores = np.array([trial.values for trial in able]).reshape(len(able), len(maximize)) * signs
    front = [
        trial
        for trial, own in zip(able, scores, strict=True)
        if not np.any(np.all(scores >= own, axis=1) & np.any(scores > own, axis=1))
    ]
    return front[:count]


def value_words(trial: Trial, study: StoredStudy) -> str:
    """Return what the trial reached, with the name of what is measured: `val acc 0.989`; of several objectives all."""
    if study.foreign is not None and len(study.foreign.metrics) > 1:
        pairs = zip(study.foreign.metrics, trial.values, strict=False)
        return ", ".join(f"{name} {format_result(value, name)}" for name, value in pairs)
    metric = study.spec.metric
    return f"{format_short_metric(metric)} {format_result(trial.value, metric)}"


def _told_words(trial: Trial, study: StoredStudy) -> str:
    is_strange = study.foreign is None and trial.is_foreign
    return " (another Optuna client's trial)" if is_strange else ""


def setting_words(trial: Trial, spec: StudySpec) -> str:
    """Say what the trial trains: the name of its exact configuration, or else its parameters."""
    name = configuration_name(spec, trial.params)
    return format_parameters(trial.params, spec.search) if name is None else name


def fate_rows(progress: Progress) -> list[FateRow]:
    """Return the fates that at least one trial met, in the order of `Fate`."""
    tallies = [(fate, progress.fates.get(fate)) for fate in Fate]
    return [
        FateRow(fate=fate, trials=tally.trials, epochs=tally.epochs)
        for fate, tally in tallies
        if tally is not None and tally.trials
    ]


def state_of(progress: Progress) -> StudyState:
    """Say in one word how the study stands; `open` is waiting for a worker, `idle` is another client's at rest."""
    if progress.is_foreign:
        return "running" if progress.running else "idle"
    if progress.is_done:
        return "finished"
    if progress.stopped is not None:
        return "paused" if progress.is_paused else "stopped"
    return "running" if progress.running else "open"


def state_sentence(progress: Progress) -> str:
    """Say in one sentence how the study stands."""
    if progress.is_foreign:
        return f"{MADE_BY_OPTUNA}: {_state_counts(progress)}.".capitalize().replace("optuna", "Optuna")
    done = f"{progress.finished:,} of {format_count(progress.budget, 'trial')}"
    match state_of(progress):
        case "finished":
            beyond = progress.finished - progress.budget
            return f"Finished: {done}{f', {beyond:,} more than the budget' if beyond else ''}."
        case "paused" | "stopped" as word:
            return f"{_sentence(word)}: {done} finished. {_sentence(progress.stopped or '')}"
        case "running":
            return f"Running: {done} finished, {progress.running:,} in training."
        case _:
            return f"Open: {done} finished, none in training."


def _state_counts(progress: Progress) -> str:
    """Return `12 trials, 10 complete, 2 failed`."""
    states = ("complete", "pruned", "failed", "running", "waiting")
    counts = [f"{getattr(progress, state):,} {state}" for state in states if getattr(progress, state)]
    return ", ".join([format_count(progress.budget, "trial"), *counts])


def objectives_words(study: StoredStudy) -> str:
    """Return `loss (minimize), accuracy (maximize)` for a study that another Optuna client made."""
    assert study.foreign is not None
    pairs = zip(study.foreign.metrics, study.foreign.maximize, strict=True)
    return ", ".join(f"{name} ({'maximize' if more else 'minimize'})" for name, more in pairs)


def _sentence(clause: str) -> str:
    return clause[:1].upper() + clause[1:]


def verdict_words(trial: Trial) -> str:
    """Say why the trial ended: `diverged_lr from step 132`, `healthy`; how it stands before it has a verdict."""
    if trial.finding is None:
        if trial.state is TrialState.RUNNING and trial.worker is None:
            return f"run by {OTHERS}"
        return "no verdict" if trial.state.is_final else trial.state.value
    cause, first_step = trial.finding.cause, trial.finding.first_step
    is_timeless = cause in (*OUTSIDE, Cause.INCONCLUSIVE)
    return cause.value if is_timeless else f"{cause} from step {first_step:,}"
