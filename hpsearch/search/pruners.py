"""Optuna's pruners by name: they stop running trials by rank."""

from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
)

from hpsearch.study.plan import epoch_span
from hpsearch.study.spec import StudySpec


def make_pruner(spec: StudySpec) -> BasePruner:
    """Return the pruner that `spec.pruning.rank` names.

    Its resource is a trial's age in epochs, so it must receive the value after epoch e (from 0) at step e + 1. Optuna's
    docstring of `report` asks for steps from 0, but only ages make asha's and hyperband's rungs 1, r, r^2, ... epochs
    as in their papers (Li et al. 2020, arXiv:1810.05934; Li et al. 2018, JMLR 18:185), and let median and percentile
    act as soon as a trial is `warmup_epochs` old.
    """
    pruning = spec.pruning
    match pruning.rank:
        case "none":
            return NopPruner()
        case "median":
            return MedianPruner(pruning.startup_trials, pruning.warmup_epochs)
        case "percentile":
            return PercentilePruner(pruning.percentile, pruning.startup_trials, pruning.warmup_epochs)
        case "asha":
            return SuccessiveHalvingPruner(min_resource=1, reduction_factor=pruning.reduction_factor)
        case "hyperband":
            return HyperbandPruner(
                min_resource=1, max_resource=epoch_span(spec).most, reduction_factor=pruning.reduction_factor
            )
