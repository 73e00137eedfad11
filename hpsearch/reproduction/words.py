"""What was measured, in words, for the page and the command line alike."""

import math

from hpsearch.report.formats import format_count
from hpsearch.reproduction.records import Condition, Judged, Measured
from hpsearch.study.amounts import format_number

_DIGITS = 4


def measured_words(measured: Measured) -> str:
    """Return `training accuracy 0.935 [0.921, 0.944], 10 seeds`: the median and range, or a share and its interval."""
    name = measured.condition.words
    if not measured.count:
        return f"{name}: no seed shows it"
    number, seeds = _number(measured.value), format_count(measured.count, "seed")
    if measured.count == 1:
        return f"{name} {number}"
    return f"{name} {number} [{_number(measured.low)}, {_number(measured.high)}], {seeds}"


def rule_words(condition: Condition) -> str:
    """Return in which range a condition is met: `at most 0.15`; empty where it is told for its own sake."""
    low, high = condition.low, condition.high
    if low == high:
        return f"exactly {_number(low)}"
    if math.isinf(low) and math.isinf(high):
        return ""
    if math.isinf(low):
        return f"at most {_number(high)}"
    return f"at least {_number(low)}" if math.isinf(high) else f"{_number(low)} to {_number(high)}"


def judgement_words(judged: Judged) -> str:
    """Return `holds`, `does not hold`, or `not tested: needs MNIST`."""
    return f"{judged.judgement}: {judged.reason}" if judged.reason else judged.judgement.value


def _number(value: float) -> str:
    return format_number(value, digits=_DIGITS)
