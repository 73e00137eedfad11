"""How often findings are right, and how often they would stop a good trial: measured, and not assigned.

A rule's confidence is raw evidence, in one to three levels. `calibrated` turns it into the share of runs in which such
a finding is right. All tables come from the tuning families alone and are printed by
`python -m tests.benchmarks.diagnosis.calibrate`; `tests/benchmarks/diagnosis/README.md` shows how they hold on others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from hpsearch.verdicts import Cause, Finding

WEIGHT: Final = 8.0
"""The curve counts as so many runs in addition to those of a level: one with few runs gets the curve's value."""

UNSEEN: Final = 0.5
"""Wrong calls that are added to those of each level: its rule was written with a view to the same families.

With tables that are fitted without the family that is judged, the error of the confidences is 0.049 for 1 and 0.024 for
a half; it is least, 0.013, for a quarter.
"""

CURVE: Final[Sequence[tuple[float, float]]] = (
    (0.7, 0.824),
    (0.75, 0.875),
    (0.8, 0.965),
    (0.85, 0.965),
    (0.9, 0.968),
    (0.95, 0.968),
    (0.98, 1.0),
    (1.0, 1.0),
)
"""Isotonic regression of right (1) or wrong (0) on the raw confidence, over all first findings."""

RIGHT: Final[Mapping[tuple[Cause, float], tuple[int, int]]] = {
    (Cause.LOG_ZERO, 1.0): (20, 20),
    (Cause.DIVERGED_LR, 0.85): (4, 4),
    (Cause.DIVERGED_LR, 0.98): (15, 15),
    (Cause.DIVERGED_LR, 1.0): (5, 5),
    (Cause.EXPLODING, 0.85): (15, 15),
    (Cause.EXPLODING, 0.95): (9, 10),
    (Cause.DEAD_RELU_TOTAL, 0.95): (11, 13),
    (Cause.DEAD_RELU_TOTAL, 1.0): (9, 9),
    (Cause.DEAD_RELU_PARTIAL, 0.8): (11, 11),
    (Cause.DEAD_RELU_PARTIAL, 0.95): (2, 3),
    (Cause.BORN_DEAD, 0.95): (1, 1),
    (Cause.BORN_DEAD, 1.0): (19, 19),
    (Cause.SYMMETRIC_INIT, 1.0): (25, 25),
    (Cause.SATURATED, 0.9): (17, 18),
    (Cause.NEG_PLATEAU, 0.95): (13, 13),
    (Cause.VANISHING_GRAD, 0.7): (0, 1),
    (Cause.VANISHING_GRAD, 0.9): (19, 19),
    (Cause.EXPLODING_GRAD, 0.9): (10, 10),
    (Cause.LR_TOO_LOW, 0.8): (9, 9),
    (Cause.LR_TOO_LOW, 0.9): (17, 17),
    (Cause.LR_TOO_HIGH, 0.7): (14, 16),
    (Cause.INPUT_UNSCALED, 1.0): (33, 33),
    (Cause.INPUT_DEGENERATE, 1.0): (18, 18),
    (Cause.LABELS_UNRELATED, 0.75): (14, 16),
    (Cause.VAL_MISALIGNED, 0.95): (22, 22),
    (Cause.COLLAPSED_OUTPUT, 0.85): (16, 18),
    (Cause.WRONG_LOSS_PAIR, 1.0): (25, 25),
    (Cause.OUTPUT_RANGE, 1.0): (22, 22),
    (Cause.WD_DOMINATES, 0.95): (29, 29),
    (Cause.TRAIN_EVAL_SHIFT, 0.8): (2, 2),
    (Cause.OVERFIT, 0.8): (10, 11),
    (Cause.PLATEAU, 0.85): (16, 16),
    (Cause.GRAD_REDUCTION_SUM, 1.0): (17, 17),
    (Cause.TARGETS_UNSCALED, 1.0): (4, 4),
}
"""By cause and raw confidence: how often such a finding was right when it came first, and how often it came first."""

GOOD_BOUND: Final[Mapping[Cause, float]] = {
    Cause.LOG_ZERO: 0.015,  # 0 of 20
    Cause.DIVERGED_LR: 0.011,  # 0 of 49
    Cause.EXPLODING: 0.014,  # 0 of 23
    Cause.DEAD_RELU_TOTAL: 0.012,  # 0 of 35
    Cause.DEAD_RELU_PARTIAL: 0.016,  # 0 of 18
    Cause.BORN_DEAD: 0.011,  # 0 of 42
    Cause.NEG_PLATEAU: 0.017,  # 0 of 13
    Cause.LR_TOO_LOW: 0.015,  # 0 of 22
}
"""The upper end of the 95 % interval of the share of good trials among those that a cause stops.

A trial is good if it is healthy, or ends near the best of its search, when it runs on undisturbed. Causes share
their evidence: the good and stopped trials of all causes are added with the weight of 50 trials.
"""

MOST_GOOD: Final = 0.05
"""A cause whose bound is higher stops no trial."""


def calibrated(finding: Finding) -> Finding:
    """Return the finding with the share of runs in which one like it is right as its confidence."""
    curve = on_curve(finding.confidence, CURVE)
    right, called = RIGHT.get((finding.cause, finding.confidence), (0, 0))
    share = (right + WEIGHT * curve) / (called + WEIGHT + UNSEEN)
    return replace(finding, confidence=round(share, 2))


def on_curve(raw: float, curve: Sequence[tuple[float, float]]) -> float:
    """Return the share of right findings on a curve of corners (raw confidence, share)."""
    return float(np.interp(raw, [level for level, _ in curve], [share for _, share in curve]))


def may_stop(cause: Cause) -> bool:
    """Return True if hardly any of the trials that this cause stops would have been good; True if that is unknown."""
    return GOOD_BOUND.get(cause, 0.0) <= MOST_GOOD
