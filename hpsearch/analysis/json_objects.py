"""Trials and studies as JSON objects for programs.

JSON has no NaN and no infinity. Such a number is `null`, with the reason in a field of the same name and `_reason`:
`nan`, `infinity` or `-infinity`; for a missing value `no_epoch` or the trial's state.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from hpsearch.analysis.advice import advice
from hpsearch.analysis.configurations import configuration_rows, row_object
from hpsearch.analysis.study_state import Decade, fates_by_decade, state_of
from hpsearch.analysis.trial_facts import given_in_advance
from hpsearch.analysis.verdict_summary import audit_of
from hpsearch.storage.records import (
    EditedRange,
    Evaluation,
    ForeignTrial,
    LimitStanding,
    Listed,
    Progress,
    StoredStudy,
)
from hpsearch.study.plan import pruning_in_words, sampler_in_words
from hpsearch.study.spec import fault_in_words
from hpsearch.trials import Failure, ParameterValue, Trial, TrialState
from hpsearch.verdicts import Finding


def json_text(value: Any, *, indent: int | None = None) -> str:
    """Return strict JSON. A number that is not finite raises ValueError: `trial_object` leaves none."""
    separators = (",", ":") if indent is None else None
    return json.dumps(value, allow_nan=False, indent=indent, separators=separators)


def trial_object(trial: Trial) -> dict[str, Any]:
    """Return a trial; times are ISO 8601 in UTC, `params` flat with dotted names.

    `given` are its enqueued values, which `params` also contains once the trial has begun.
    """
    finding = trial.finding
    return {
        "number": trial.number,
        "value": finite(trial.value),
        "value_reason": _value_reason(trial),
        **({} if trial.spread is None else {"spread": finite(trial.spread)}),
        **({"values": [finite(value) for value in trial.values]} if trial.values else {}),
        **({"constraints": [finite(c) for c in trial.constraints]} if trial.constraints else {}),
        "state": trial.state.value,
        "fate": trial.fate.value,
        "params": dict(trial.params),
        "given": with_reasons(given_in_advance(trial)),
        "verdict": None if finding is None else finding.cause.value,
        "epochs": trial.epochs,
        "steps": trial.steps,
        "attempts": trial.attempts,
        "worker": trial.worker,
        "owner": trial.owner,
        "started": moment_text(trial.started),
        "finished": moment_text(trial.finished),
        "first_step": None if finding is None else finding.first_step,
        "confidence": None if finding is None else finding.confidence,
        "evidence": {} if finding is None else with_reasons(finding.evidence),
        "remedy": None if finding is None else finding.remedy,
        "suggested": {} if finding is None else with_reasons(finding.suggested),
        **({} if trial.failure is None else {"failure": failure_object(trial.failure)}),
    }


def failure_object(failure: Failure) -> dict[str, Any]:
    """Return how a training function failed; `exit_code` and `signal` are null unless its process ended by itself."""
    return asdict(failure)


def finding_object(finding: Finding) -> dict[str, Any]:
    """Return one finding of diagnosis; `suggested` maps flat, dotted names to values."""
    return {
        "cause": finding.cause.value,
        "confidence": finding.confidence,
        "first_step": finding.first_step,
        "evidence": with_reasons(finding.evidence),
        "remedy": finding.remedy,
        "suggested": with_reasons(finding.suggested),
    }


def study_object(study: StoredStudy, progress: Progress) -> dict[str, Any]:
    """Return a study; `trials` is its budget, `ledger` maps causes to epochs, `best` is a trial or null.

    `sampler` and `pruning` describe those of the study in words, and are null for a study of another Optuna client.
    `limits` are those of `[budget]`, and `ended_by` names the one that ended the study, or is null. `fault` describes a
    deliberate error in its data, and is null if there is none.
    """
    fault = study.spec.data.fault
    return {
        "name": progress.name,
        "made_by": "hpsearch" if study.foreign is None else "optuna",
        "unreadable": None,
        "state": state_of(progress),
        "stopped": progress.stopped,
        "limits": [_limit_object(limit) for limit in progress.limits],
        "ended_by": None if progress.ended_by is None else progress.ended_by.name,
        "metric": study.spec.metric,
        "fault": None if fault is None else fault_in_words(fault),
        "objectives": _objectives(study),
        "sampler": None if study.foreign else sampler_in_words(study.spec.sampler),
        "pruning": None if study.foreign else pruning_in_words(study.spec),
        "trials": progress.budget,
        "finished": progress.finished,
        "complete": progress.complete,
        "pruned": progress.pruned,
        "failed": progress.failed,
        "running": progress.running,
        "waiting": progress.waiting,
        "foreign": [foreign_object(trial) for trial in progress.foreign],
        "fates": {fate.value: tally.trials for fate, tally in progress.fates.items()},
        "epochs": progress.epochs,
        "ledger": dict(progress.ledger),
        "best": None if progress.best is None else trial_object(progress.best),
        "priority": study.priority,
        "created": moment_text(study.created),
        "edited_ranges": [_edit_object(edit) for edit in study.edits],
    }


def _edit_object(edit: EditedRange) -> dict[str, Any]:
    """Return an edit of a searched range: its bounds before and after, and the first trial that could have these."""
    return {
        "name": edit.after.name,
        "before": {"low": edit.before.low, "high": edit.before.high},
        "after": {"low": edit.after.low, "high": edit.after.high},
        "from_trial": edit.trials,
        "made": moment_text(edit.made),
    }


def _limit_object(standing: LimitStanding) -> dict[str, Any]:
    """Return how the study stands against a limit; `used` is null for `until` if no trial is complete."""
    return {
        "name": standing.name,
        "limit": standing.limit,
        "used": standing.used,
        "is_reached": standing.is_reached,
    }


def foreign_object(trial: ForeignTrial) -> dict[str, Any]:
    """Return a running trial of another Optuna client: its last sign of life, and whether it counts."""
    return {
        "number": trial.number,
        "started": moment_text(trial.started),
        "seen": moment_text(trial.seen),
        "counts": trial.counts,
        "counts_until": moment_text(trial.counts_until),
    }


def unreadable_object(listed: Listed) -> dict[str, Any]:
    """Return a study of ours that cannot be read: the available fields of `study_object`."""
    count = listed.trials
    return {
        "name": listed.name,
        "made_by": "hpsearch",
        "unreadable": listed.unreadable,
        "state": "unreadable",
        "trials": None,
        "finished": count[TrialState.COMPLETE] + count[TrialState.PRUNED],
        **{state.value: count[state] for state in TrialState},
    }


def summary_object(
    study: StoredStudy, trials: Sequence[Trial], evaluations: Sequence[Evaluation] = ()
) -> dict[str, Any]:
    """Return the additions to the counts of a study: `advice` is a sentence, or null.

    `configurations` is empty if the study searches.
    """
    return {
        "fates_by_decade": [_decade_object(row) for row in fates_by_decade(study.spec.search, trials)],
        "advice": advice(study.present_spec, trials, maximize=study.maximize, is_confirmed=bool(evaluations)),
        "audit": _audit(study, trials),
        "configurations": [row_object(row) for row in configuration_rows(study, trials)],
    }


def _decade_object(row: Decade) -> dict[str, Any]:
    """Return the fates of the trials with a learning rate from `low` to `high`."""
    fates = {fate.value: count for fate, count in row.fates.items()}
    return {"low": row.low, "high": row.high, "trials": row.trials, "fates": fates}


def _audit(study: StoredStudy, trials: Sequence[Trial]) -> dict[str, Any]:
    """Return the result of the audit; `share` is the study's own, `interval` holds the rate at 95 %."""
    audit = audit_of(trials, maximize=study.maximize)
    rate = audit.false_stop_rate
    return {
        "share": study.spec.pruning.audit,
        "audited": audit.audited,
        "in_best_tenth": audit.wrong,
        "false_stop_rate": rate,
        **({"false_stop_rate_reason": "none_audited"} if rate is None else {}),
        "interval": list(audit.interval),
    }


def _objectives(study: StoredStudy) -> list[dict[str, str]]:
    """Return the names of the objectives and their directions."""
    metrics = (study.spec.metric,) if study.foreign is None else study.foreign.metrics
    maximize = (study.maximize,) if study.foreign is None else study.foreign.maximize
    return [
        {"name": name, "direction": "maximize" if more else "minimize"}
        for name, more in zip(metrics, maximize, strict=True)
    ]


def _value_reason(trial: Trial) -> str | None:
    if trial.value is not None:
        return reason_of(trial.value)
    last = trial.curve[max(trial.curve)] if trial.curve else None
    if last is not None and not math.isfinite(last):
        return reason_of(last)
    return "no_epoch" if trial.state.is_final else trial.state.value


def with_reasons(values: Mapping[str, ParameterValue]) -> dict[str, Any]:
    """Return `values` with null for a number that is not finite, and its reason in a second field."""
    written: dict[str, Any] = {}
    for name, value in values.items():
        reason = reason_of(value) if isinstance(value, float) else None
        written[name] = value if reason is None else None
        if reason is not None:
            written[f"{name}_reason"] = reason
    return written


def finite(number: float | None) -> float | None:
    """Return a finite number, and None for any other."""
    return number if number is not None and math.isfinite(number) else None


def reason_of(number: float) -> str | None:
    """Return the reason why a number is written as null; None for a finite one."""
    if math.isnan(number):
        return "nan"
    if math.isinf(number):
        return "infinity" if number > 0 else "-infinity"
    return None


def moment_text(moment: datetime | None) -> str | None:
    """Return an aware time as ISO 8601 in UTC; None stays None."""
    return None if moment is None else moment.astimezone(UTC).isoformat()
