"""Sentences and rows about a study, for the report and the command line alike."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, final

from hpsearch.records import OTHERS, Cause, Fate, Trial, TrialState
from hpsearch.report.configurations import configuration_name
from hpsearch.report.confirmation import Repeated, confirmation, ranked_trials, rival_of, seeds_words
from hpsearch.report.formats import format_count, format_parameters, format_result, format_short_metric
from hpsearch.storage.records import Evaluation, Progress, StoredStudy
from hpsearch.study.spec import StudySpec

StudyState: TypeAlias = Literal["finished", "paused", "stopped", "running", "open"]

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

    At most `count` lines, best first; none where no trial is complete with a finite value. `evaluations` are those of
    the study: a trial that was trained with fresh seeds has their mean, `val acc 0.925 over 5 fresh seeds, 0.905 in
    the search`, and these come first.
    """
    metric, maximize = study.spec.metric, study.maximize
    best = ranked_trials(trials, evaluations, metric=metric, maximize=maximize, count=count)
    found = confirmation(best, evaluations, metric=metric, maximize=maximize)
    confirmed = {one.number: one for one in found}
    return [
        f"Best-{rank} ({result_words(trial, confirmed.get(trial.number), metric)})"
        f" | {setting_words(trial, study.spec)}"
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
    """Say in one word how the study stands; `open` is waiting for a worker."""
    if progress.is_done:
        return "finished"
    if progress.stopped is not None:
        return "paused" if progress.is_paused else "stopped"
    return "running" if progress.running else "open"


def state_sentence(progress: Progress) -> str:
    """Say in one sentence how the study stands."""
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
