"""Text formats of parameters, results and times, shared by the report and the command line."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from hpsearch.study.messages import format_number, nonfinite_words
from hpsearch.study.metrics import METRICS
from hpsearch.study.spec import Dimension, StudySpec
from hpsearch.trials import ParameterValue


def format_parameter(value: ParameterValue) -> str:
    """Return a parameter's value: floats with 2 significant digits, whole numbers and text unchanged."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return format_number(value) if isinstance(value, float) else str(value)


def format_parameters(params: Mapping[str, ParameterValue], search: Sequence[Dimension]) -> str:
    """Return `learning_rate 0.79, weight_decay 9.5e-06`: in the order of `search`, then other settings."""
    searched = [dimension.name for dimension in search if dimension.name in params]
    names = [*searched, *sorted(set(params) - set(searched))]
    return ", ".join(f"{name} {format_parameter(params[name])}" for name in names)


def format_result(value: float | None, metric: str) -> str:
    """Return a value of the metric: a share or R2 with 3 decimals, a loss with 4 significant digits.

    An amount in the unit of the targets has 4 significant digits too, and never an exponent: `48,230`.
    """
    if value is None:
        return "none"
    if not math.isfinite(value):
        return nonfinite_words(value)
    known = METRICS.get(metric)
    if known is not None and (known.kind == "share" or (known.kind == "score" and value > _LEAST_SCORE)):
        return f"{value:.3f}"
    if known is not None and known.kind == "amount" and 1e4 <= value < _LARGEST_AMOUNT:
        return f"{float(f'{value:.4g}'):,.0f}"
    return f"{value:.4g}"


_LEAST_SCORE: Final = -100.0
_LARGEST_AMOUNT: Final = 1e15
"""Numbers beyond these are shorter with an exponent."""


def format_metric(metric: str) -> str:
    """Return the name of the metric: `validation accuracy`, or `validation RMSE`."""
    return METRICS[metric].label if metric in METRICS else metric.replace("_", " ")


def format_metric_title(metric: str) -> str:
    """Return the name of the metric as a title: `Validation RMSE`."""
    words = format_metric(metric)
    return words[:1].upper() + words[1:]


def format_metric_noun(metric: str) -> str:
    """Return the name of the metric without the part of the data: `accuracy`, `RMSE`; of a foreign one, its name."""
    return METRICS[metric].noun if metric in METRICS else metric.replace("_", " ")


def format_short_metric(metric: str) -> str:
    """Return the metric's short name in the best lines: `val acc` or `val loss`."""
    return METRICS[metric].short if metric in METRICS else metric


def loss_unit(spec: StudySpec) -> str:
    """Return the unit of the losses of a regression, as a sentence without its full stop; empty for classes."""
    if spec.data.task != "regression":
        return ""
    if spec.data.target_scale == "none":
        return "Losses are squared errors, in the square of the unit of the targets"
    return "Losses are squared errors of standardized targets: 1 is the loss of predicting their mean"


def format_share(part: float, whole: float) -> str:
    """Return `part` of `whole` in percent: `0 %`, `below 1 %`, `37 %`; for a `whole` of 0, `0 %`."""
    percent = 100 * part / whole if whole else 0.0
    return "below 1 %" if 0 < percent < 1 else f"{percent:.0f} %"


def format_duration(seconds: float) -> str:
    """Return a time span in its two largest units: `12.3 s`, `4 min 05 s`, `2 h 07 min`, `3 d 04 h`."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for name, size, part, part_size in (("d", 86400, "h", 3600), ("h", 3600, "min", 60)):
        if whole >= size:
            return f"{whole // size} {name} {whole % size // part_size:02d} {part}"
    return f"{whole // 60} min {whole % 60:02d} s"


def format_time(moment: datetime | None) -> str:
    """Return an aware time in UTC to the minute, with the zone: `2026-07-26 14:02 UTC`; empty if it is unknown."""
    return "" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def format_moment(moment: datetime) -> str:
    """Return an aware time in UTC to the second, with the zone: `2026-07-26 14:02:31 UTC`."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def format_tick(value: float) -> str:
    """Return a tick's label: `1e-5`, `2e-4`, `0.01`, `0.5`, `1`, `100`, `1e4`."""
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)) + 1e-9)
    if -3 < exponent < 4:
        return f"{value:.10g}"
    return f"{value / 10.0**exponent:.6g}e{exponent}"
