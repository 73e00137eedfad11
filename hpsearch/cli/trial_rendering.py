"""One trial, the results of its replay, and waiting trials, for people and for programs."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hpsearch.analysis.configurations import configuration_name
from hpsearch.analysis.formats import (
    format_count,
    format_parameters,
    format_result,
    format_share,
    format_short_metric,
    format_time,
)
from hpsearch.analysis.json_objects import finding_object, finite, moment_text, with_reasons
from hpsearch.analysis.replay import (
    check_sentence,
    deaths,
    finding_words,
    length_words,
    nonfinite_sentence,
    settings_words,
)
from hpsearch.analysis.trial_facts import (
    cause_words,
    course_facts,
    end_words,
    evidence_facts,
    foreign_facts,
    parameter_facts,
    suggested_facts,
)
from hpsearch.cli.output import answer, write_table
from hpsearch.storage.records import Attempt, Progress, StoredStudy
from hpsearch.training.recording import Recording
from hpsearch.trials import Trial
from hpsearch.verdicts import Finding
from hpsearch.worker.replay import RecordedRun, Replay, ReplayCheck
from hpsearch.workflows.trials import Enqueued, Grid, RetriedTrial


def write_trial(trial: Trial, study: StoredStudy, attempts: Sequence[Attempt]) -> None:
    """Write all stored facts about a trial to stdout."""
    end = end_words(trial) if study.foreign is None else trial.state.value
    answer(f"{study.spec.name}: trial {trial.number}: {end}")
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


def write_enqueued(enqueued: Enqueued) -> None:
    """Write the waiting trial and its values to stdout, and the budget that lets it run."""
    study = enqueued.study
    rest = f"; {', '.join(enqueued.sampled)} will be sampled" if enqueued.sampled else ""
    params = format_parameters(enqueued.params, study.spec.search)
    answer(f'Study "{study.spec.name}": trial {enqueued.number} waits with {params}{rest}')
    if enqueued.grid is not None:
        _write_grid_hint(study, enqueued.grid)
    _write_budget_hint(study, enqueued.progress)


def write_retried(retried: RetriedTrial) -> None:
    """Write the trial that waits, and the budget that lets it run, to stdout."""
    waits = "already waits" if retried.waited else "waits"
    place = "" if retried.number == retried.original else f" in place of trial {retried.original}"
    answer(f'Study "{retried.study.spec.name}": trial {retried.number} {waits}{place}')
    _write_budget_hint(retried.study, retried.progress)


def _write_budget_hint(study: StoredStudy, progress: Progress) -> None:
    """Write how to raise the budget if it is spent and trials wait."""
    name = study.spec.name
    if progress.is_done and progress.waiting:
        more = progress.finished + progress.waiting  # other clients may have finished more than the budget
        answer(
            f"The budget of {format_count(progress.budget, 'trial')} is spent: "
            f"`hpsearch study edit {shlex.quote(name)} --trials {more}` lets it run"
        )


def _write_grid_hint(study: StoredStudy, grid: Grid) -> None:
    """Write the budget that trains every point of the grid in addition to the trials with given parameters."""
    points, given = grid.points, grid.given
    if study.spec.trials < points + given:
        budget = format_count(study.spec.trials, "trial")
        answer(
            f"The grid has {format_count(points, 'point')}, and {given} of the {budget} "
            f"{'is' if given == 1 else 'are'} not of it: "
            f"`hpsearch study edit {shlex.quote(study.spec.name)} --trials {points + given}` trains all"
        )


def write_replay(replay: Replay, page: Path) -> None:
    """Write the trained epochs, the check's result and the verdicts to stdout."""
    stored = replay.stored
    answer(f"{stored.study.spec.name}: trial {stored.trial.number}: {check_sentence(replay.check)}")
    answer()
    heads = ["property", "original"]
    columns = [dict(_run_properties(replay.original))]
    if replay.altered is not None:
        heads.append(settings_words(replay.settings))
        columns.append(dict(_run_properties(replay.altered)))
    write_table(heads, [[name, *(column.get(name, "") for column in columns)] for name in columns[0]])
    answer()
    for head, run in zip(heads[1:], (replay.original, replay.altered), strict=False):
        if run is not None:
            answer(f"{head}: {finding_words(run.verdict.primary)}")
            answer(f"Remedy: {run.verdict.primary.remedy}")
            if nonfinite := nonfinite_sentence(run.recording):
                answer(nonfinite)
    answer(f"Page: {page}")


def _run_properties(run: RecordedRun) -> Iterator[tuple[str, str]]:
    recording = run.recording
    training = recording.subject.configuration.training
    yield "learning_rate", f"{training.learning_rate:.6g}"
    yield "trained", length_words(recording)
    last = recording.telemetry.epochs[-1] if recording.telemetry.epochs else None
    for name in ("training_loss", "validation_loss", "validation_accuracy"):
        yield name, format_result(None if last is None else getattr(last, name), name)
    silent = ", ".join(
        f"{len(deaths(recording, layer))} of {len(units)}" for layer, units in enumerate(recording.last_fired)
    )
    yield "units that fell silent", silent or "no hidden layer"


def replay_object(replay: Replay, page: Path) -> dict[str, Any]:
    """Return a replay as a JSON object."""
    return {
        "study": replay.stored.study.spec.name,
        "number": replay.stored.trial.number,
        **_check_object(replay.check),
        "original": _run_object(replay.original),
        "settings": dict(replay.settings),
        "altered": None if replay.altered is None else _run_object(replay.altered),
        "page": str(page),
    }


def _check_object(check: ReplayCheck) -> dict[str, Any]:
    """Return the check; `identical` is null if there is no stored result to compare with."""
    difference = check.difference
    return {
        "identical": difference is None if check.numbers else None,
        "compared_epochs": check.epochs,
        "compared_numbers": check.numbers,
        "difference": None
        if difference is None
        else {
            "series": difference.series,
            "epoch": difference.epoch,
            "first_step": difference.first_step,
            "last_step": difference.last_step,
            **with_reasons({"stored": difference.stored, "replayed": difference.replayed}),
            "reasons": list(difference.reasons),
        },
    }


def _run_object(run: RecordedRun) -> dict[str, Any]:
    recording = run.recording
    last = recording.telemetry.epochs[-1] if recording.telemetry.epochs else None
    return {
        "steps": recording.steps,
        "epochs": len(recording.telemetry.epochs),
        "training_loss": None if last is None else finite(last.training_loss),
        "validation_loss": None if last is None else finite(last.validation_loss),
        "validation_accuracy": None if last is None else finite(last.validation_accuracy),
        "nonfinite": _nonfinite_object(recording),
        "deaths": [deaths(recording, layer) for layer in range(len(recording.last_fired))],
        "verdict": finding_object(run.verdict.primary),
        "findings": [finding_object(finding) for finding in run.verdict.findings],
    }


def _nonfinite_object(recording: Recording) -> dict[str, Any] | None:
    found = recording.nonfinite
    return None if found is None else {"step": found.step, "array": found.array, "layer": found.layer}
