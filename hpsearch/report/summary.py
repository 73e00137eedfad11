"""What the trials of a study say together, as JSON for programs."""

from collections.abc import Sequence
from typing import Any

from hpsearch.records import Trial
from hpsearch.report.audit import audit_of
from hpsearch.storage.records import StoredStudy


def summary_object(study: StoredStudy, trials: Sequence[Trial]) -> dict[str, Any]:
    """Return what stands beside the counts of a study."""
    return {"audit": _audit(study, trials)}


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
