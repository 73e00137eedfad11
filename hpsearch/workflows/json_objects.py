"""Studies, trials and diagnoses as the JSON objects that the command line prints with `--format json`."""

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from hpsearch.analysis.best_trials import has_several_objectives, leading_trials
from hpsearch.analysis.confirmation import SeedResults, confirmation, ranked_trials, seed_results
from hpsearch.analysis.json_objects import (
    finding_object,
    moment_text,
    study_object,
    summary_object,
    trial_object,
    with_reasons,
)
from hpsearch.analysis.replay import deaths
from hpsearch.storage.records import Attempt, Evaluation, StoredStudy, Unsealing
from hpsearch.storage.store import Store
from hpsearch.telemetry import Epoch
from hpsearch.training.recording import Recording
from hpsearch.trials import Trial
from hpsearch.worker.notifier import shown_notify_url
from hpsearch.worker.replay import RecordedRun, Replay, ReplayCheck
from hpsearch.worker.trial_diagnosis import TrialDiagnosis
from hpsearch.workflows.healing import HealedFile, Healing

JsonObject: TypeAlias = dict[str, Any]

DELETED: Final = "(deleted)"


def study_summary(store: Store, study: StoredStudy) -> JsonObject:
    """Return a study with its progress, advice, best trial, confirmed configurations, parent and opened test part.

    For a study of another Optuna client, return its progress and, with several objectives, its Pareto front.
    """
    progress, trials, evaluations = (
        store.studies.progress(study),
        store.trials.all(study),
        store.evaluations.all(study),
    )
    shown = study_object(study, progress)
    if study.foreign is not None:
        if has_several_objectives(study):
            shown["front"] = [trial.number for trial in leading_trials(trials, study, count=len(trials))]
        return shown
    shown |= summary_object(study, trials, evaluations)
    shown |= _confirmed_objects(study, trials, evaluations)
    return shown | {
        "parent": _parent_object(store, study),
        "notify": [shown_notify_url(url) for url in store.notifications.urls(study)],
        "test": opened_object(store.evaluations.unsealing(study)),
    }


def best_objects(
    trials: Sequence[Trial], study: StoredStudy, evaluations: Sequence[Evaluation]
) -> list[JsonObject]:
    """Return trials in the given order, with their results over fresh seeds if any were trained."""
    metric = study.spec.metric
    found = [seed_results(trial, evaluations, part="validation", metric=metric) for trial in trials]
    return [
        trial_object(trial) | ({"fresh_seeds": _seeds_object(one)} if one.values else {})
        for trial, one in zip(trials, found, strict=True)
    ]


def trial_with_history(trial: Trial, attempts: Sequence[Attempt]) -> JsonObject:
    """Return a trial with the attempts that were lost."""
    return trial_object(trial) | {"history": [_attempt_object(attempt) for attempt in attempts]}


def _confirmed_objects(
    study: StoredStudy, trials: Sequence[Trial], evaluations: Sequence[Evaluation]
) -> JsonObject:
    """Return the best trial, and as `confirmed` the results over fresh seeds, the best mean first, as JSON objects."""
    metric, maximize = study.spec.metric, study.maximize
    best = ranked_trials(trials, evaluations, metric=metric, maximize=maximize, count=1)
    found = confirmation(trials, evaluations, metric=metric, maximize=maximize)
    return {
        "best": trial_object(best[0]) if best else None,
        "confirmed": [seed_results_object(one) for one in found],
    }


def seed_results_object(one: SeedResults) -> JsonObject:
    """Return a configuration over fresh seeds as a JSON object; `low` and `high` hold the mean at 95 %."""
    low, high = one.interval or (None, None)
    return {
        "rank": one.rank,
        "number": one.number,
        "value": one.in_search,
        "mean": one.mean,
        "low": low,
        "high": high,
        "is_behind": one.is_behind,
        "seeds": [{"seed": seed, "value": value} for seed, value in one.values.items()],
        "params": dict(one.params),
    }


def _seeds_object(one: SeedResults) -> JsonObject:
    """Return the mean over fresh seeds, its 95 % interval, and how many seeds there are, as a JSON object."""
    low, high = one.interval or (None, None)
    return {"seeds": len(one.values), "mean": one.mean, "low": low, "high": high}


def opened_object(opened: Unsealing | None) -> JsonObject | None:
    """Return the opening of the test part as a JSON object; null while it is sealed."""
    if opened is None:
        return None
    return {"number": opened.number, "command": opened.command, "opened": moment_text(opened.opened)}


def _attempt_object(attempt: Attempt) -> JsonObject:
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


def diagnosis_object(diagnosis: TrialDiagnosis) -> JsonObject:
    """Return a diagnosis as a JSON object; `findings` are all, strongest first."""
    first, *_ = findings = [finding_object(finding) for finding in diagnosis.verdict.findings]
    return {
        "verdict": first["cause"],
        **{key: first[key] for key in ("confidence", "first_step", "evidence", "remedy", "suggested")},
        "findings": findings,
        "steps": diagnosis.steps,
        "epochs": diagnosis.epochs,
        **_losses(diagnosis.last),
    }


def healing_object(healing: Healing, written: HealedFile | None) -> JsonObject:
    """Return the remedies that were tried, and their results, as a JSON object; `first` and `last` are diagnoses."""
    metric = healing.study.spec.metric
    return {
        "is_healthy": healing.is_healthy,
        "verdict": healing.last.verdict.cause.value,
        "reason": healing.reason,
        "settings": with_reasons(healing.settings),
        "steps": [
            {
                "settings": with_reasons(step.settings),
                "before": step.before.cause.value,
                "verdict": step.after.cause.value,
                "confidence": step.after.confidence,
                **(
                    _missing(metric, "no_epoch") if step.value is None else with_reasons({metric: step.value})
                ),
                "is_kept": step.is_kept,
            }
            for step in healing.steps
        ],
        "first": diagnosis_object(healing.first),
        "last": diagnosis_object(healing.last),
        "output": None if written is None else str(written.path),
    }


def _losses(last: Epoch | None) -> JsonObject:
    """Return the losses of the last finished epoch."""
    names = ("training_loss", "validation_loss", "validation_accuracy")
    if last is None:
        return {key: value for name in names for key, value in _missing(name, "no_epoch").items()}
    accuracy = last.validation_accuracy
    return {
        **with_reasons({"training_loss": last.training_loss, "validation_loss": last.validation_loss}),
        **(
            _missing("validation_accuracy", "regression")
            if accuracy is None
            else with_reasons({"validation_accuracy": accuracy})
        ),
        **with_reasons(last.scores),
    }


def _missing(name: str, reason: str) -> JsonObject:
    return {name: None, f"{name}_reason": reason}


def replay_object(replay: Replay) -> JsonObject:
    """Return a replay, its check and its runs as a JSON object."""
    return {
        "study": replay.stored.study.spec.name,
        "number": replay.stored.trial.number,
        **_check_object(replay.check),
        **({"folds": len(replay.data.folds)} if replay.data.folds else {}),
        "original": _run_object(replay.original),
        "settings": dict(replay.settings),
        "altered": None if replay.altered is None else _run_object(replay.altered),
    }


def _check_object(check: ReplayCheck) -> JsonObject:
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


def _run_object(run: RecordedRun) -> JsonObject:
    recording = run.recording
    last = recording.telemetry.epochs[-1] if recording.telemetry.epochs else None
    return {
        "steps": recording.steps,
        "epochs": len(recording.telemetry.epochs),
        **_losses(last),
        "nonfinite": _nonfinite_object(recording),
        "deaths": [
            {str(unit): step for unit, step in deaths(recording, layer).items()}
            for layer in range(len(recording.last_fired))
        ],
        "verdict": finding_object(run.verdict.primary),
        "findings": [finding_object(finding) for finding in run.verdict.findings],
    }


def _nonfinite_object(recording: Recording) -> JsonObject | None:
    found = recording.nonfinite
    return None if found is None else {"step": found.step, "array": found.array, "layer": found.layer}


def parent_name(study: StoredStudy, studies: Sequence[StoredStudy]) -> str | None:
    """Return the name of the study that `study` follows up; `DELETED` if it is gone, None if there is none."""
    if study.parent is None:
        return None
    return next((other.spec.name for other in studies if other.key == study.parent), DELETED)


def null_if_deleted(name: str | None) -> str | None:
    """Return the parent's name for programs: null if there is none, or it is gone."""
    return None if name == DELETED else name


def _parent_object(store: Store, study: StoredStudy) -> str | None:
    """Return the name of the study that `study` follows up, for programs."""
    return None if study.parent is None else null_if_deleted(parent_name(study, store.studies.all()))
