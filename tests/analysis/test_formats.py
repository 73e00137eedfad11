"""Formats for people."""

import math
from datetime import UTC, datetime, timedelta, timezone

import pytest

from hpsearch.analysis.formats import (
    format_duration,
    format_metric,
    format_metric_title,
    format_parameter,
    format_parameters,
    format_result,
    format_share,
    format_short_metric,
    format_tick,
    format_time,
)
from hpsearch.study.spec import DEFAULT_SEARCH
from hpsearch.trials import ParameterValue


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.7912, "0.79"),
        (0.00923, "0.0092"),
        (9.5123e-06, "9.5e-06"),
        (1e-05, "1e-05"),
        (1.0, "1"),
        (64, "64"),
        (1500.0, "1500"),
        (3.21e6, "3.2e+06"),
        (True, "true"),
        ("relu", "relu"),
        (None, "None"),
        ("[64, 32]", "[64, 32]"),
    ],
)
def test_a_parameter_is_short(value: ParameterValue, text: str) -> None:
    """Floats have 2 significant digits; whole numbers, flags and text are unchanged."""
    assert format_parameter(value) == text


def test_parameters_follow_the_search() -> None:
    """Parameters are in the order of the study file, followed by those that are not searched."""
    params: dict[str, ParameterValue] = {"weight_decay": 9.5e-6, "momentum": 0.9, "learning_rate": 0.79}
    shown = format_parameters(params, DEFAULT_SEARCH)
    assert shown == "learning_rate 0.79, weight_decay 9.5e-06, momentum 0.9"


@pytest.mark.parametrize(
    ("value", "metric", "text"),
    [
        (0.98888, "validation_accuracy", "0.989"),
        (1.0, "validation_accuracy", "1.000"),
        (0.0123456, "validation_loss", "0.01235"),
        (2871.34, "validation_loss", "2871"),
        (math.nan, "validation_loss", "NaN"),
        (math.inf, "validation_loss", "infinite"),
        (-math.inf, "validation_loss", "minus infinite"),
        (None, "validation_accuracy", "none"),
        (0.98888, "roc_auc", "0.989"),
        (0.98888, "r2", "0.989"),
        (-0.5, "r2", "-0.500"),
        (-123456.0, "r2", "-1.235e+05"),
        (27881.4, "rmse", "27,880"),
        (1234567.8, "mae", "1,235,000"),
        (0.00123456, "rmse", "0.001235"),
        (1e20, "rmse", "1e+20"),
    ],
)
def test_a_result_has_the_digits_of_its_metric(value: float | None, metric: str, text: str) -> None:
    """Shares and R2 have 3 decimals, losses 4 significant digits; amounts have no exponent; others are words."""
    assert format_result(value, metric) == text


@pytest.mark.parametrize(
    ("metric", "label", "title", "short"),
    [
        ("validation_accuracy", "validation accuracy", "Validation accuracy", "val acc"),
        ("rmse", "validation RMSE", "Validation RMSE", "RMSE"),
        ("f1_macro", "validation macro F1", "Validation macro F1", "macro F1"),
        ("training_loss", "training loss", "Training loss", "training_loss"),
        ("their_value", "their value", "Their value", "their_value"),
    ],
)
def test_metrics_have_names_for_people(metric: str, label: str, title: str, short: str) -> None:
    """Our metrics have the names of the table, other series and foreign metrics their own."""
    assert (format_metric(metric), format_metric_title(metric)) == (label, title)
    assert format_short_metric(metric) == short


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1e-6, "1e-6"),
        (1e-5, "1e-5"),
        (2e-4, "2e-4"),
        (1e-3, "1e-3"),
        (0.01, "0.01"),
        (0.5, "0.5"),
        (1.0, "1"),
        (1000.0, "1000"),
        (1e4, "1e4"),
        (0.0, "0"),
        (-0.25, "-0.25"),
    ],
)
def test_ticks_read_as_people_write_them(value: float, text: str) -> None:
    """A tick at 0.00001 reads 1e-5."""
    assert format_tick(value) == text


def test_shares_never_round_to_nothing() -> None:
    """A share above 0 is not shown as 0 %, and a share of nothing is 0 %."""
    assert [format_share(*pair) for pair in ((0, 5), (1, 1000), (1, 3), (3, 3), (0, 0))] == [
        "0 %",
        "below 1 %",
        "33 %",
        "100 %",
        "0 %",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.0 s"),
        (12.34, "12.3 s"),
        (59.97, "1 min 00 s"),
        (245, "4 min 05 s"),
        (3600, "1 h 00 min"),
        (7620, "2 h 07 min"),
        (273600, "3 d 04 h"),
    ],
)
def test_durations_have_two_units(seconds: float, text: str) -> None:
    """A time span reads in its two largest units."""
    assert format_duration(seconds) == text


def test_times_are_in_utc_with_the_zone() -> None:
    """A time of another zone is converted to UTC, and the zone is written."""
    moment = datetime(2026, 7, 26, 16, 2, 31, tzinfo=timezone(timedelta(hours=2)))
    assert format_time(moment) == "2026-07-26 14:02 UTC"
    assert format_time(datetime(2026, 1, 1, tzinfo=UTC)) == "2026-01-01 00:00 UTC"
