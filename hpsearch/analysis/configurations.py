"""The results of each exact configuration of a study, over its trials."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, final

from hpsearch.analysis.formats import format_result
from hpsearch.analysis.intervals import Interval, mean_interval, metric_bounds
from hpsearch.storage.records import StoredStudy
from hpsearch.study.configurations import configuration_of
from hpsearch.study.spec import ExactConfiguration, StudySpec
from hpsearch.trials import Trial


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ConfigurationRow:
    """The results of one configuration.

    `values` are the finite results of its complete trials, in order of trial number, and `interval` the 95 % interval
    of their mean, None for fewer than two; `ended` counts all of its trials that have ended; `verdicts` counts these by
    verdict, most frequent first.
    """

    name: str
    params: Mapping[str, Any]
    values: tuple[float, ...]
    interval: Interval | None
    ended: int
    verdicts: Mapping[str, int]

    @property
    def mean(self) -> float | None:
        """The mean result; None if no trial has one."""
        return fmean(self.values) if self.values else None


def configuration_rows(study: StoredStudy, trials: Sequence[Trial]) -> tuple[ConfigurationRow, ...]:
    """Return a row for every exact configuration, the best mean first; those without a result come last."""
    groups: dict[str, list[Trial]] = {exact.name: [] for exact in study.spec.configurations}
    for trial in trials:
        exact = configuration_of(study.spec, trial.params) if trial.state.is_final else None
        if exact is not None:
            groups[exact.name].append(trial)
    bounds = metric_bounds(study.spec.metric)
    rows = [_row(exact, groups[exact.name], bounds) for exact in study.spec.configurations]
    return tuple(sorted(rows, key=lambda row: _rank(row, maximize=study.maximize)))


def configuration_name(spec: StudySpec, params: Mapping[str, Any]) -> str | None:
    """Return the name of the exact configuration that a trial with `params` trains; None if there is none."""
    exact = configuration_of(spec, params)
    return None if exact is None else exact.name


def row_object(row: ConfigurationRow) -> dict[str, Any]:
    """Return a row as a JSON object; `interval` is null for fewer than two results."""
    return {
        "name": row.name,
        "params": dict(row.params),
        "mean": row.mean,
        "interval": None if row.interval is None else list(row.interval),
        "values": list(row.values),
        "ended": row.ended,
        "verdicts": dict(row.verdicts),
    }


def row_cells(row: ConfigurationRow, metric: str) -> tuple[str, ...]:
    """Return a row as text: name, mean, interval, least to greatest, results of ended trials, verdicts."""
    interval, values = row.interval, row.values
    return (
        row.name,
        "" if row.mean is None else format_result(row.mean, metric),
        "" if interval is None else " to ".join(format_result(bound, metric) for bound in interval),
        " to ".join(format_result(end, metric) for end in (min(values), max(values))) if values else "",
        f"{len(values):,} of {row.ended:,}",
        ", ".join(f"{verdict} {count:,}" for verdict, count in row.verdicts.items()),
    )


def row_heads(short_metric: str) -> tuple[str, ...]:
    """Return the heads of the cells of `row_cells`."""
    return ("configuration", f"mean {short_metric}", "95 % interval", "range", "complete", "verdicts")


def _row(exact: ExactConfiguration, trials: Sequence[Trial], bounds: Interval) -> ConfigurationRow:
    ranked = [trial for trial in sorted(trials, key=lambda trial: trial.number) if trial.is_ranked]
    verdicts = Counter(trial.verdict or "no verdict" for trial in trials)
    values = tuple(trial.value for trial in ranked if trial.value is not None)
    return ConfigurationRow(
        name=exact.name,
        params=dict(exact.params),
        values=values,
        interval=mean_interval(values, bounds=bounds),
        ended=len(trials),
        verdicts=dict(verdicts.most_common()),
    )


def _rank(row: ConfigurationRow, *, maximize: bool) -> tuple[bool, float]:
    if row.mean is None:
        return True, 0.0
    return False, -row.mean if maximize else row.mean
