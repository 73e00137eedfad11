"""Samplers and pruners that an Optuna program made, as specifications of ours that choose and stop in the same way."""

from collections.abc import Mapping
from typing import Any, Final

from optuna.pruners import BasePruner, MedianPruner, NopPruner, PercentilePruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from hpsearch.study.spec import PruningSpec, SamplerSpec

_SEEDS: Final = 2**31
"""Seeds that are drawn from an Optuna sampler are below this."""

_TPE: Final = ("_multivariate", "_group", "_constraints_func", "_n_ei_candidates", "_gamma", "_constant_liar")
"""Options of Optuna's TPE of which ours has the default."""

_MEDIAN: Final = ("_interval_steps", "_n_min_trials")
"""The same of its median and percentile pruners."""


def sampler_spec(sampler: BaseSampler) -> SamplerSpec | None:
    """Return the specification of a sampler that samples parameters one by one as ours does, else None."""
    if type(sampler) is RandomSampler:
        return SamplerSpec(name="random")
    if type(sampler) is TPESampler and _are_defaults(sampler, TPESampler(), _TPE):
        startup: int = vars(sampler)["_n_startup_trials"]
        return SamplerSpec(name="tpe", startup_trials=startup)
    return None


def drawn_seed(sampler: BaseSampler) -> int:
    """Return a seed from the random numbers of a sampler of `sampler_spec`: the same one if the program seeded it."""
    return int(vars(sampler)["_rng"].rng.randint(_SEEDS))


def pruning_spec(pruner: BasePruner) -> PruningSpec | None:
    """Return the specification of a pruner that ours equals, else None.

    Ours counts a trial's age from 1 and Optuna's its steps from 0, so warm-up is one longer.
    """
    held: Mapping[str, Any] = vars(pruner)
    if type(pruner) is NopPruner:
        return PruningSpec(rank="none")
    if type(pruner) not in (MedianPruner, PercentilePruner) or not _are_defaults(
        pruner, MedianPruner(), _MEDIAN
    ):
        return None
    return PruningSpec(
        rank="median" if type(pruner) is MedianPruner else "percentile",
        percentile=held["_percentile"],
        startup_trials=held["_n_startup_trials"],
        warmup_epochs=held["_n_warmup_steps"] + 1,
    )


def _are_defaults(made: object, default: object, names: tuple[str, ...]) -> bool:
    return all(vars(made)[name] == vars(default)[name] for name in names)
