"""Measurements in words, for the page and the command line."""

import math

from hpsearch.analysis.formats import format_count
from hpsearch.reproduction.records import Condition, Judged, Measured
from hpsearch.study.messages import format_number


def measured_words(measured: Measured) -> str:
    """Return `training accuracy 0.935 [0.921, 0.944], 10 seeds`: the median and range, or a share and its interval.

    If runs ended before the event: `times more than 12 [9.1, more than 14], 3 seeds (not reached in 2 of 3)`.
    """
    name = measured.condition.words
    if not measured.count:
        return f"{name}: no seed shows it"
    numbers = (measured.value, measured.low, measured.high)
    value, low, high = (format_number(number, digits=measured.condition.digits) for number in numbers)
    value = f"more than {value}" if measured.is_bound else value
    high = f"more than {high}" if measured.never else high
    if measured.count == 1:
        return f"{name} {value}{_never_words(measured)}"
    return f"{name} {value} [{low}, {high}], {format_count(measured.count, 'seed')}{_never_words(measured)}"


def _never_words(measured: Measured) -> str:
    if not measured.never:
        return ""
    seeds = "" if measured.count == 1 else f" in {measured.never:,} of {format_count(measured.count, 'seed')}"
    return f" ({measured.condition.never}{seeds})"


def rule_words(condition: Condition) -> str:
    """Return the range in which a condition is met: `at most 0.15`; empty if it is only informative."""
    low, high = (format_number(bound, digits=condition.digits) for bound in (condition.low, condition.high))
    if condition.low == condition.high:
        return f"exactly {low}"
    if math.isinf(condition.low):
        return "" if math.isinf(condition.high) else f"at most {high}"
    return f"at least {low}" if math.isinf(condition.high) else f"{low} to {high}"


def missed_words(measured: Measured) -> str:
    """Return both numbers: `first step with NaN 188 [123, 327], 20 seeds, not 300 to 400`."""
    return f"{measured_words(measured)}, not {rule_words(measured.condition)}"


def judgement_words(judged: Judged) -> str:
    """Return `holds`, `does not hold`, or with a reason `holds in part: ...` and `not tested: needs MNIST`."""
    return f"{judged.judgement}: {judged.reason}" if judged.reason else judged.judgement.value
