"""The rank of a finished trial for a sampler: among the survivors, or below all of them."""

import math
from collections.abc import Collection

from hpsearch.study.spec import DIAGNOSED_CAUSES
from hpsearch.trials import Trial, TrialState


def is_dead(trial: Trial) -> bool:
    """Return True if a sampler must rank the finished `trial` below every survivor (law 7).

    That is a trial that diagnosis stopped, and one whose last number is not finite, however it ended. A trial of
    another client that was pruned without any number is not dead: there is no evidence.
    """
    if trial.state is TrialState.PRUNED and trial.verdict in DIAGNOSED_CAUSES:
        return True
    value = last_value(trial)
    return trial.state is TrialState.COMPLETE if value is None else not math.isfinite(value)


def last_value(trial: Trial) -> float | None:
    """Return the trial's value, or the last of its curve if it was stopped without one, else None."""
    if trial.value is not None or trial.state is TrialState.COMPLETE:
        return trial.value
    return trial.curve[max(trial.curve)] if trial.curve else None


def shortness(trial: Trial) -> float:
    """Return the shortness of a dead trial's life, in (0, 1]: 1 without a single optimizer step.

    It orders the dead: if nearly all trials die, a long life is the only sign of a better region.
    """
    return 1 / (1 + trial.steps)


def below_survivors(values: Collection[float], *, maximize: bool) -> tuple[float, float]:
    """Return a number worse than all `values` of survivors, and a step to still worse numbers.

    A dead trial's value is the number plus its `shortness` times the step. The number lies one step beyond the worst
    survivor, and a step is a tenth of the distance from the best to the worst: wide enough to rank by, and narrow
    enough to leave a Gaussian process's scale to the survivors. It is at least 1e-4 of the worst, so that it is not
    lost in rounding, and 0.1 if all of that is 0 or there is no survivor.
    """
    worst = (min(values) if maximize else max(values)) if values else 0.0
    best = (max(values) if maximize else min(values)) if values else 0.0
    size = max(0.1 * abs(best - worst), 1e-4 * abs(worst)) or 0.1
    step = -size if maximize else size
    return worst + step, step
