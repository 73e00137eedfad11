"""What a replay showed, for people and for programs, and its page."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hpsearch.analysis.formats import format_result
from hpsearch.analysis.json_objects import finding_object, finite, with_reasons
from hpsearch.analysis.replay import (
    check_sentence,
    deaths,
    finding_words,
    length_words,
    nonfinite_sentence,
    settings_words,
)
from hpsearch.cli.output import answer, write_table
from hpsearch.training.recording import Recording
from hpsearch.worker.replay import RecordedRun, Replay, ReplayCheck


def write_replay(replay: Replay, page: Path) -> None:
    """Write what was trained, the check's result and the verdicts to stdout."""
    stored = replay.stored
    answer(f"{stored.study.spec.name}: trial {stored.trial.number}: {check_sentence(replay.check)}")
    answer()
    heads = ["property", "original"]
    columns = [dict(_properties(replay.original))]
    if replay.altered is not None:
        heads.append(settings_words(replay.settings))
        columns.append(dict(_properties(replay.altered)))
    write_table(heads, [[name, *(column.get(name, "") for column in columns)] for name in columns[0]])
    answer()
    for head, run in zip(heads[1:], (replay.original, replay.altered), strict=False):
        if run is not None:
            answer(f"{head}: {finding_words(run.verdict.primary)}")
            answer(f"Remedy: {run.verdict.primary.remedy}")
            if nonfinite := nonfinite_sentence(run.recording):
                answer(nonfinite)
    answer(f"Page: {page}")


def _properties(run: RecordedRun) -> Iterator[tuple[str, str]]:
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
    """Return the check; `identical` is null where nothing was stored to compare with."""
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
