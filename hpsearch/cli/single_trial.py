"""One trial, for people and for programs."""

from collections.abc import Iterator, Sequence
from typing import Any

from hpsearch.analysis.configurations import configuration_name
from hpsearch.analysis.formats import format_result, format_share, format_short_metric, format_time
from hpsearch.analysis.json_objects import moment_text
from hpsearch.analysis.trial_facts import (
    cause_words,
    course_facts,
    evidence_facts,
    foreign_facts,
    parameter_facts,
    suggested_facts,
    verdict_words,
)
from hpsearch.cli.output import answer, write_table
from hpsearch.storage.records import Attempt, StoredStudy
from hpsearch.trials import Trial
from hpsearch.verdicts import Finding


def write_trial(trial: Trial, study: StoredStudy, attempts: Sequence[Attempt]) -> None:
    """Write all that is known of a trial to stdout."""
    verdict = verdict_words(trial)
    why = "" if verdict == trial.fate.value or study.foreign is not None else f", {verdict}"
    answer(f"{study.spec.name}: trial {trial.number}: {trial.fate.value}{why}")
    answer()
    write_table(("property", "value"), list(_properties(trial, study)))
    if trial.finding is not None:
        answer()
        _write_finding(trial.finding)
    if attempts:
        answer()
        _write_attempts(attempts)


def attempt_object(attempt: Attempt) -> dict[str, Any]:
    """Return an attempt as a JSON object."""
    return {
        "attempt": attempt.attempt,
        "worker": attempt.worker,
        "kind": attempt.kind,
        "why": attempt.why,
        "crashed": attempt.crashed,
        "epochs": attempt.epochs,
        "started": moment_text(attempt.started),
        "ended": moment_text(attempt.ended),
    }


def _properties(trial: Trial, study: StoredStudy) -> Iterator[tuple[str, str]]:
    metric = study.spec.metric
    if (exact := configuration_name(study.spec, trial.params)) is not None:
        yield "configuration", exact
    yield from parameter_facts(trial)
    if study.foreign is None:
        yield format_short_metric(metric), format_result(trial.value, metric)
        if trial.is_foreign:
            yield "reported by", "another Optuna client"
        yield from course_facts(trial)
        return
    yield from foreign_facts(trial, study.foreign)


def _write_finding(finding: Finding) -> None:
    sure = format_share(finding.confidence, 1)
    answer(f"Verdict: {cause_words(finding)}, confidence {sure}")
    for name, value in evidence_facts(finding):
        answer(f"  {name} {value}")
    answer(f"Remedy: {finding.remedy}")
    for name, suggested in suggested_facts(finding):
        answer(f"  {name} = {suggested}")


def _write_attempts(attempts: Sequence[Attempt]) -> None:
    write_table(
        ("attempt", "worker", "why it ended", "epochs", "kind", "counts", "ended"),
        [
            (
                str(attempt.attempt),
                attempt.worker or "",
                attempt.why,
                f"{attempt.epochs:,}",
                attempt.kind.replace("_", " "),
                "yes" if attempt.crashed else "no",
                format_time(attempt.ended),
            )
            for attempt in attempts
        ],
        right=frozenset({"attempt", "epochs"}),
    )
