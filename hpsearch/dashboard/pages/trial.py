"""The page of one trial: how it ended and why, suggested changes, its curve, and its lost attempts."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from hpsearch.analysis.confirmation import best_of
from hpsearch.analysis.formats import format_metric, format_result, format_share, format_time
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.analysis.trial_facts import (
    cause_words,
    course_facts,
    evidence_facts,
    foreign_facts,
    parameter_facts,
    suggested_facts,
    verdict_words,
)
from hpsearch.dashboard.links import (
    operations_link,
    replay_link,
    stock_trial_link,
    study_link,
    trial_link,
)
from hpsearch.dashboard.pages import Link, Page, fill, page_of
from hpsearch.report.figures.catalogue import Exhibit, Panel
from hpsearch.report.figures.learning_curves import draw_learning_curves, learning_curves
from hpsearch.storage.records import Attempt, StoredStudy
from hpsearch.trials import Trial, TrialState
from hpsearch.verdicts import Finding

_CAPTION: Final = "The symbol marks the end of the trial; hover over it to see the reason."
_ATTEMPT_HEADS: Final = ("attempt", "worker", "why it ended", "epochs", "kind", "counts", "ended")


def trial_page(
    snapshot: Snapshot, trial: Trial, attempts: Sequence[Attempt], *, can_operate: bool = True
) -> Page:
    """Return the page of a trial of the study in `snapshot`. `can_operate` offers to replay it, or to try it again."""
    study = snapshot.study
    name = study.spec.name
    has_button = can_operate and study.spec.objective is None and trial.state.is_final and bool(trial.params)
    curves = _curves(snapshot, trial)
    body = fill(
        "trial.html",
        study=name,
        state=trial.fate.value,
        title=f"Trial {trial.number}",
        lead=_lead(trial),
        links=list(_related_pages(snapshot, trial)),
        replay=replay_link(name, trial.number) if has_button else "",
        retry=operations_link(name) if can_operate and trial.state is TrialState.FAILED else "",
        number=trial.number,
        course=list(_course(trial, study)),
        parameters=list(parameter_facts(trial)),
        verdict=None if trial.finding is None else _verdict(trial.finding),
        failure=trial.failure,
        curves=curves,
        attempts=[_attempt(attempt) for attempt in attempts],
        attempt_heads=_ATTEMPT_HEADS,
    )
    stock = stock_trial_link(study.study_id, trial.number)
    return page_of(f"{name}: trial {trial.number}", body, shown=(curves,), stock=stock)


def replay_pending_page(study: StoredStudy, number: int) -> Page:
    """Return the placeholder for the replay of a trial until it is ready."""
    name = study.spec.name
    body = fill("replay_pending.html", study=name, title=f"Trial {number}", trial=trial_link(name, number))
    return page_of(f"{name}: trial {number}: replay", body, stock=stock_trial_link(study.study_id, number))


def _lead(trial: Trial) -> str:
    words = verdict_words(trial)
    if trial.finding is not None:
        return f"Verdict: {words}."
    return f"{words[:1].upper()}{words[1:]}."


def _course(trial: Trial, study: StoredStudy) -> Iterator[tuple[str, str]]:
    if study.foreign is not None:
        yield from foreign_facts(trial, study.foreign)
        return
    yield format_metric(study.spec.metric), format_result(trial.value, study.spec.metric)
    yield from course_facts(trial)


def _related_pages(snapshot: Snapshot, trial: Trial) -> Iterator[Link]:
    """Yield links to the study, and to the trials before and after this one."""
    name = snapshot.study.spec.name
    numbers = [other.number for other in snapshot.trials]
    place = numbers.index(trial.number)
    yield study_link(name), f"Study {name}"
    for number in (*numbers[max(place - 1, 0) : place], *numbers[place + 1 : place + 2]):
        yield trial_link(name, number), f"Trial {number}"


def _verdict(finding: Finding) -> dict[str, Any]:
    return {
        "words": cause_words(finding),
        "confidence": format_share(finding.confidence, 1),
        "evidence": evidence_facts(finding),
        "remedy": finding.remedy,
        "suggested": suggested_facts(finding),
    }


def _curves(snapshot: Snapshot, trial: Trial) -> Exhibit:
    """Return the learning curves of this trial alone, with a star if it is the best of its study."""
    name, title = "learning-curves", "Learning curves"
    series = {number: one for number, one in snapshot.series.items() if number == trial.number}
    data = learning_curves(replace(snapshot, trials=(trial,), series=series))
    if data is None:
        is_ours = snapshot.study.foreign is None
        caption = (
            "The trial has not finished an epoch." if is_ours else "The trial reported no value while it ran."
        )
        return Exhibit(name=name, title=title, caption=caption)
    best = [best.number for best in best_of(snapshot, 1)]
    star = trial.number if trial.number in best else None
    panels = (
        Panel(
            name=f"{name}-{part}",
            label=f"{panel.scale.title} by {panel.unit}.",
            figure=draw_learning_curves(replace(panel, best=star)),
        )
        for part, panel in (("training", data.training), ("metric", data.metric))
        if panel.curves
    )
    return Exhibit(name=name, title=title, caption=_CAPTION, panels=tuple(panels))


def _attempt(attempt: Attempt) -> tuple[str, ...]:
    return (
        f"{attempt.attempt:,}",
        attempt.worker or "",
        attempt.why,
        f"{attempt.epochs:,}",
        attempt.kind.replace("_", " "),
        "yes" if attempt.crashed else "no",
        format_time(attempt.ended),
    )
