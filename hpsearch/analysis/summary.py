"""Summary of a study's trials: by decade of the learning rate, and as JSON for programs."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from hpsearch.analysis.advice import advice
from hpsearch.analysis.audit import audit_of
from hpsearch.analysis.axes import learning_rate_of
from hpsearch.analysis.configurations import configuration_rows, row_object
from hpsearch.storage.records import Evaluation, StoredStudy
from hpsearch.study.spec import Dimension, Range
from hpsearch.trials import Fate, Trial


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Decade:
    """The trials with a learning rate in [`low`, `high`): the number with each fate, in the order of `Fate`.

    The last decade of the search space includes its upper end.
    """

    low: float
    high: float
    fates: Mapping[Fate, int]

    @property
    def trials(self) -> int:
        """The number of trials."""
        return sum(self.fates.values())


def fates_by_decade(search: Sequence[Dimension], trials: Sequence[Trial]) -> tuple[Decade, ...]:
    """Return the decades in which trials ended, lowest first; none if no range of learning rates is searched."""
    dimension = learning_rate_of(search)
    if dimension is None:
        return ()
    counts: dict[int, Counter[Fate]] = {}
    for trial in trials:
        exponent = _exponent(trial, dimension)
        if exponent is not None and trial.state.is_final:
            counts.setdefault(exponent, Counter())[trial.fate] += 1
    return tuple(_decade(exponent, counts[exponent]) for exponent in sorted(counts))


def _exponent(trial: Trial, dimension: Range) -> int | None:
    """Return the decade's power of ten; None for a rate without one, which another program may have set."""
    rate = trial.params.get(dimension.name)
    if not isinstance(rate, int | float) or not 0 < rate < math.inf:
        return None
    exponent = math.floor(math.log10(rate))
    is_upper_end = rate == dimension.high == float(f"1e{exponent}")
    return exponent - 1 if is_upper_end else exponent


def _decade(exponent: int, counts: Mapping[Fate, int]) -> Decade:
    return Decade(
        low=float(f"1e{exponent}"),
        high=float(f"1e{exponent + 1}"),
        fates={fate: counts[fate] for fate in Fate if counts.get(fate)},
    )


def summary_object(
    study: StoredStudy, trials: Sequence[Trial], evaluations: Sequence[Evaluation] = ()
) -> dict[str, Any]:
    """Return the additions to the counts of a study: `advice` is a sentence, or null.

    `configurations` is empty if the study searches.
    """
    return {
        "fates_by_decade": [_decade_object(row) for row in fates_by_decade(study.spec.search, trials)],
        "advice": advice(study.spec, trials, maximize=study.maximize, is_confirmed=bool(evaluations)),
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
