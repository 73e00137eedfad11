"""The effect of seeds alone on a result: smaller differences are noise."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import Final, final

from hpsearch.analysis.configurations import configuration_rows
from hpsearch.analysis.formats import format_result
from hpsearch.analysis.intervals import metric_bounds, students_quantile, wilson_interval, within
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.study.messages import format_count
from hpsearch.trials import Trial

_LEAST_STEP: Final = 1e-6
"""Accuracies that differ by less are equal but stored with fewer digits."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class NoiseFloor:
    """The range of the metric, `low` to `high`, for the best configuration by chance alone, at 95 %.

    `is_estimate` is true if no configuration has several seeds; `words` names the source of the numbers.
    """

    low: float
    high: float
    is_estimate: bool
    words: str


def noise_floor(snapshot: Snapshot, best: float | None) -> NoiseFloor | None:
    """Return the band around the best value; None if there is no best value, or no evidence for its width."""
    if best is None or snapshot.study.foreign is not None:
        return None
    return _measured(snapshot, best) or _estimated(snapshot, best)


def _measured(snapshot: Snapshot, best: float) -> NoiseFloor | None:
    """Return the band of seeds: the pooled deviation within configurations, times Student's quantile."""
    metric = snapshot.study.spec.metric
    again = _repeated_results(snapshot)
    listed = [row.values for row in configuration_rows(snapshot.study, snapshot.trials)]
    repeated = [values for values in (*again, *listed) if len(values) > 1]
    freedom = sum(len(values) - 1 for values in repeated)
    if not freedom:
        return None
    squares = sum((value - fmean(values)) ** 2 for values in repeated for value in values)
    reach = students_quantile(freedom) * math.sqrt(squares / freedom)
    low, high = within((best - reach, best + reach), metric_bounds(metric))
    runs, count = sum(map(len, repeated)), format_count(len(repeated), "configuration")
    how = "trained with several seeds each" if listed else "trained again with fresh seeds"
    return NoiseFloor(
        low=low,
        high=high,
        is_estimate=False,
        words=(
            f"The band is the effect of seeds alone, {_span(low, high, metric)} at 95 %:"
            f" {count} {how}, {format_count(runs, 'run')}."
        ),
    )


def _repeated_results(snapshot: Snapshot) -> Sequence[Sequence[float]]:
    """Return the results of configurations that were trained again, grouped by configuration."""
    metric = snapshot.study.spec.metric
    groups: dict[int, list[float]] = {}
    for evaluation in snapshot.evaluations:
        value = evaluation.value(metric)
        if evaluation.part == "validation" and value is not None and math.isfinite(value):
            groups.setdefault(evaluation.number, []).append(value)
    return list(groups.values())


def _estimated(snapshot: Snapshot, best: float) -> NoiseFloor | None:
    """Return the interval that the size of the validation part allows an accuracy; None for another metric."""
    if snapshot.study.spec.metric != "validation_accuracy":  # no other metric is a share of the examples
        return None
    examples = _examples(snapshot.trials)
    if examples is None or not 0 <= best <= 1:  # another Optuna client may have stored any value
        return None
    low, high = wilson_interval(best, examples)
    return NoiseFloor(
        low=low,
        high=high,
        is_estimate=True,
        words=(
            f"The band is an estimate, {_span(low, high, snapshot.study.spec.metric)}: the 95 % interval (Wilson) for"
            f" about {format_count(examples, 'validation example')}. No configuration was trained again with fresh"
            " seeds."
        ),
    )


def _examples(trials: Sequence[Trial]) -> int | None:
    """Return the number of validation examples from the smallest step between accuracies; None without a step.

    Accuracies are whole numbers of examples, so two different ones are at least one example apart. If no two are
    adjacent, the number is too small, and the band too wide.
    """
    values = sorted(set(_accuracies(trials)))
    steps = [high - low for low, high in pairwise(values) if high - low > _LEAST_STEP]
    return round(1 / min(steps)) if steps else None


def _accuracies(trials: Sequence[Trial]) -> Iterable[float]:
    for trial in trials:
        yield from (value for value in trial.curve.values() if math.isfinite(value) and 0 <= value <= 1)


def _span(low: float, high: float, metric: str) -> str:
    return f"{format_result(low, metric)} to {format_result(high, metric)}"
