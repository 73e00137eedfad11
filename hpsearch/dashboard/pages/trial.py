"""The page of one trial: how it ended and why, suggested changes, its curve, and its lost attempts."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

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
from hpsearch.dashboard.links import replay_link, report_link, stock_trial_link, trial_link
from hpsearch.dashboard.pages import Page, framed, head, link, table
from hpsearch.report import sections
from hpsearch.report.figures.catalogue import Exhibit, exhibits
from hpsearch.report.parts import facts, section, text
from hpsearch.storage.records import Attempt, StoredStudy
from hpsearch.trials import Trial
from hpsearch.verdicts import Finding

_CAPTION: Final = "The symbol marks where it ended; hover over it to see why."


def trial_page(
    snapshot: Snapshot, trial: Trial, attempts: Sequence[Attempt], *, can_replay: bool = True
) -> Page:
    """Return the page of a trial of the study in `snapshot`. `can_replay` offers to train it again."""
    study = snapshot.study
    has_button = can_replay and trial.state.is_final and bool(trial.params)
    parameters = list(parameter_facts(trial))
    curves = _curves(snapshot, trial)
    body = "\n".join(
        [
            head(f"{study.spec.name}: {trial.fate.value}", f"Trial {trial.number}", _lead(trial)),
            f"<p>{' · '.join(_ways(snapshot, trial))}</p>",
            _replay_form(study, trial) if has_button else "",
            facts(list(_facts(trial, study))),
            section("parameters", "Parameters", facts(parameters)) if parameters else "",
            section("verdict", "Verdict", _verdict(trial.finding)) if trial.finding is not None else "",
            sections.exhibit(curves),
            section("attempts", "Lost attempts", _attempts(attempts)) if attempts else "",
        ]
    )
    title = f"{study.spec.name}: trial {trial.number}"
    return framed(title, body, shown=(curves,), stock=stock_trial_link(study.study_id, trial.number))


def waiting_page(study: StoredStudy, number: int) -> Page:
    """Return the placeholder for the replay of a trial until it is ready."""
    name = study.spec.name
    lead = "It is being trained again. This page then shows the replay."
    body = (
        head(f"{name}: replay", f"Trial {number}", lead)
        + f"<p>{link(trial_link(name, number), 'Its page')}</p>"
    )
    return framed(f"{name}: trial {number}: replay", body, stock=stock_trial_link(study.study_id, number))


def _replay_form(study: StoredStudy, trial: Trial) -> str:
    """Return a button that starts another training of the trial."""
    action = text(replay_link(study.spec.name, trial.number))
    return f'<form method="post" action="{action}"><button>Replay: train it again and look inside</button></form>'


def _lead(trial: Trial) -> str:
    words = verdict_words(trial)
    if trial.finding is not None:  # the verdict is an identifier, which needs no escaping
        return f"Verdict: {words}."
    return f"{words[:1].upper()}{words[1:]}."


def _facts(trial: Trial, study: StoredStudy) -> Iterator[tuple[str, str]]:
    if study.foreign is not None:
        yield from foreign_facts(trial, study.foreign)
        return
    yield format_metric(study.spec.metric), format_result(trial.value, study.spec.metric)
    yield from course_facts(trial)


def _ways(snapshot: Snapshot, trial: Trial) -> Iterator[str]:
    """Yield links to pages related to this trial."""
    study = snapshot.study
    numbers = [other.number for other in snapshot.trials]
    place = numbers.index(trial.number)
    yield link(report_link(study.spec.name), f"Report of {study.spec.name}")
    if place > 0:
        yield link(trial_link(study.spec.name, numbers[place - 1]), f"Trial {numbers[place - 1]}")
    if place + 1 < len(numbers):
        yield link(trial_link(study.spec.name, numbers[place + 1]), f"Trial {numbers[place + 1]}")


def _verdict(finding: Finding) -> str:
    sure = f"confidence {format_share(finding.confidence, 1)}"
    parts = [f"<p><code>{text(cause_words(finding))}</code>, {sure}.</p>"]
    if finding.evidence:
        parts.append(table(("evidence", "value"), _escaped(evidence_facts(finding))))
    if finding.remedy:
        parts.append(f"<p>Remedy: {text(finding.remedy)}</p>")
    if finding.suggested:
        parts.append(table(("suggested", "value"), _escaped(suggested_facts(finding))))
    return "".join(parts)


def _escaped(rows: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(text(name), text(value)) for name, value in rows]


def _curves(snapshot: Snapshot, trial: Trial) -> Exhibit:
    """Return the learning curves of this trial alone."""
    series = {number: one for number, one in snapshot.series.items() if number == trial.number}
    alone = replace(snapshot, trials=(trial,), series=series)
    drawn = next(one for one in exhibits(alone) if one.name == "learning-curves")
    return replace(drawn, caption=_CAPTION if drawn.panels else _without_curve(snapshot.study))


def _without_curve(study: StoredStudy) -> str:
    return "It has not finished an epoch." if study.foreign is None else "It reported no value while it ran."


def _attempts(attempts: Sequence[Attempt]) -> str:
    rows = [
        (
            f"{attempt.attempt:,}",
            text(attempt.worker or ""),
            text(attempt.why),
            f"{attempt.epochs:,}",
            text(attempt.kind.replace("_", " ")),
            "yes" if attempt.crashed else "no",
            text(format_time(attempt.ended)),
        )
        for attempt in attempts
    ]
    return table(("attempt", "worker", "why it ended", "epochs", "kind", "counts", "ended"), rows)
