"""What the trials of a study say together, as JSON for programs."""

from collections.abc import Sequence
from typing import Any

from hpsearch.report.advice import advice
from hpsearch.report.audit import audit_of
from hpsearch.report.configurations import configuration_rows, row_object
from hpsearch.report.figure_data.fates_by_decade import Decade, fates_by_decade
from hpsearch.storage.records import Evaluation, StoredStudy
from hpsearch.trials import Trial


def summary_object(
    study: StoredStudy, trials: Sequence[Trial], evaluations: Sequence[Evaluation] = ()
) -> dict[str, Any]:
    """Return what stands beside the counts of a study: `advice` is a sentence, or null.

    `configurations` is empty where the study searches.
    """
    return {
        "fates_by_decade": [_decade(row) for row in fates_by_decade(study.spec.search, trials)],
        "advice": advice(study.spec, trials, maximize=study.maximize, is_confirmed=bool(evaluations)),
        "audit": _audit(study, trials),
        "configurations": [row_object(row) for row in configuration_rows(study, trials)],
    }


def _decade(row: Decade) -> dict[str, Any]:
    """Return what became of the trials with a learning rate from `low` to `high`."""
    fates = {fate.value: count for fate, count in row.fates.items()}
    return {"low": row.low, "high": row.high, "trials": row.trials, "fates": fates}


def _audit(study: StoredStudy, trials: Sequence[Trial]) -> dict[str, Any]:
    """Return what the audit found; `share` is the study's own, `interval` holds the rate at 95 %."""
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
