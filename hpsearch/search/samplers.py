"""Optuna's samplers by name, each tied to the numbers of the trials that it samples.

An Optuna sampler draws from one stream of random numbers, so its suggestions depend on the number of earlier calls.
Here every trial has a stream of its own, from the study's seed and the trial's number: with `random`, `qmc`, `grid` and
`none` parameters depend on nothing else (law 1), and a learning sampler suggests the same after the same history, even
if its worker was restarted in between.
"""

import logging
import warnings
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from importlib.util import find_spec
from typing import Any, final
from zlib import crc32

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    GridSampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)
from optuna.study import Study, load_study
from optuna.trial import FrozenTrial

from hpsearch.errors import HpsearchError
from hpsearch.search.mirror import STUDY_ID, Mirror
from hpsearch.search.space import grid, grid_size, joint_distributions, sampled_together
from hpsearch.study.configurations import params_of_trial
from hpsearch.study.spec import LEARNING_SAMPLERS, SamplerSpec, StudySpec

LARGEST_GRID = 1_000_000
"""Optuna's grid sampler lists every point of its grid in memory; more than this many are refused."""

# Words that keep the streams of this stage apart from each other and from all others of the seed.
_PER_TRIAL = 0x5EA2C401
_SEQUENCE = 0x5EA2C402
_ALONE = 0x5EA2C403

_NONE: frozenset[int] = frozenset()

_PACKAGES = {"gp": ("torch", "PyTorch"), "cmaes": ("cmaes", "the package cmaes")}


def check_sampler(spec: StudySpec) -> None:
    """Raise HpsearchError if the study's sampler needs a missing package, or too large a grid."""
    name = spec.sampler.name
    package, title = _PACKAGES.get(name, ("numpy", "NumPy"))
    if find_spec(package) is None:
        raise HpsearchError(
            f'sampler.name: "{name}" needs {title} (not installed): pip install {package}, or choose tpe'
        )
    if name == "grid" and grid_size(spec) > LARGEST_GRID:
        raise HpsearchError(
            f"sampler.points: a grid must have at most {LARGEST_GRID:,} points (got {grid_size(spec):,}): "
            f"take fewer than {spec.sampler.points} from each range, or another sampler"
        )


def make_sampler(
    spec: StudySpec, mirror: Mirror, stream: int, given: AbstractSet[int] = _NONE
) -> BaseSampler:
    """Return the study's sampler for trials that are requested in `mirror`.

    `stream` changes a learning sampler's draws, and none of the others. `given` are the numbers of trials with
    parameters that the sampler did not choose; the set may grow. Raises HpsearchError like `check_sampler`.
    """
    check_sampler(spec)
    space = {name: d for name, d in joint_distributions(spec).items() if not d.single()}
    match spec.sampler.name:
        case "qmc":
            return SequenceSampler(spec.seed, space, mirror)
        case "grid":
            return SharedGridSampler(spec, mirror, given)
        case "none":
            return RoundRobinSampler(spec)
        case name:
            words = (spec.seed, stream if name in LEARNING_SAMPLERS else 0)
            return PerTrialSampler(
                lambda seed: _MAKERS[name](spec.sampler, seed), words, sampled_together(name, space)
            )


@final
class PerTrialSampler(BaseSampler):
    """One of Optuna's samplers, made anew for every trial with a seed of that trial's own.

    `space` has the parameters that are sampled together, which Optuna would infer from the trials so far: our trials
    all have the same.
    """

    def __init__(
        self,
        make: Callable[[int], BaseSampler],
        words: tuple[int, ...],
        space: Mapping[str, BaseDistribution],
    ) -> None:
        self._make = make
        self._words = words
        self._space = dict(space)
        self._sampler = make(0)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Make the sampler of `trial`."""
        self._sampler = self._make(_seed(*self._words, trial.number, _PER_TRIAL))
        self._sampler.before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the parameters that are sampled together."""
        return self._space

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Sample them, or none during the sampler's random trials."""
        return self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Sample one parameter on its own."""
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)


@final
class SequenceSampler(BaseSampler):
    """Optuna's QMC sampler (Sobol, scrambled by the seed), at the place of the trial's number."""

    def __init__(self, seed: int, space: Mapping[str, BaseDistribution], mirror: Mirror) -> None:
        self._space = dict(space)
        self._mirror = mirror
        with warnings.catch_warnings():
            # Optuna has called it experimental since 3.0.
            warnings.simplefilter("ignore", ExperimentalWarning)
            self._sampler = QMCSampler(scramble=True, seed=_seed(seed, _SEQUENCE))

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the whole space, for the first trial too, which Optuna would sample at random."""
        return self._space

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the point of the sequence whose index is the trial's number."""
        if not self._counters():
            self._sampler.sample_relative(study, trial, search_space)  # makes the counter
        for counter in self._counters():
            self._mirror.set_study_system_attr(STUDY_ID, counter, trial.number - 1)
        return self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Refuse: every parameter is part of the sequence."""
        raise ValueError(
            f"trial {trial.number}: {param_name}: not in the sequence (got {param_distribution})"
        )

    def _counters(self) -> list[str]:
        """Return the study's attributes in which Optuna keeps the index of the last point."""
        return [key for key in self._mirror.get_study_system_attrs(STUDY_ID) if key.startswith("qmc:")]


@final
class SharedGridSampler(BaseSampler):
    """Optuna's grid sampler, in an order shuffled by the seed, at the point of the trial's number.

    Trials whose parameters were `given`, enqueued or made by another Optuna client, take no point: later numbers move
    up, so that as many sampled trials as the grid has points are all its points. Numbers beyond the grid begin it
    again. It sets the same attributes on a trial as Optuna's own.
    """

    def __init__(self, spec: StudySpec, mirror: Mirror, given: AbstractSet[int] = _NONE) -> None:
        self._given = given
        self._grid = grid(spec)
        self._size = grid_size(spec)
        self._mirror = mirror
        self._sampler = GridSampler(self._grid, seed=_seed(spec.seed, _SEQUENCE))

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Choose the trial's point. Optuna's own choice would depend on other trials."""
        self._mirror.set_trial_system_attr(trial.number, "search_space", dict(sorted(self._grid.items())))
        place = trial.number - sum(number < trial.number for number in self._given)
        self._mirror.set_trial_system_attr(trial.number, "grid_id", place % self._size)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return nothing: a point is looked up parameter by parameter."""
        return {}

    def sample_relative(
        self,
        study: Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return one coordinate of the trial's point."""
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)


@final
class RoundRobinSampler(BaseSampler):
    """The exact configurations of a study, one after the other, repeatedly (`configurations.params_of_trial`)."""

    def __init__(self, spec: StudySpec) -> None:
        self._spec = spec

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return nothing: a configuration is looked up parameter by parameter."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return one parameter of the configuration with the trial's number."""
        return params_of_trial(self._spec, trial.number)[param_name]


def sample_alone(
    spec: StudySpec, mirror: Mirror, trial: FrozenTrial, name: str, distribution: BaseDistribution
) -> Any:
    """Return a value of one parameter that not every trial has: sampled on its own, with a seed of its own.

    qmc and grid need a space that all trials share, so these parameters are random with them.
    """
    seed = _seed(spec.seed, trial.number, crc32(name.encode()), _ALONE)
    sampler = _MAKERS.get(spec.sampler.name, _random)(spec.sampler, seed)
    # A study caches its trials: a new one sees those that have ended meanwhile.
    study = load_study(study_name=spec.name, storage=mirror, sampler=sampler)
    return sampler.sample_independent(study, trial, name, distribution)


def _tpe(sampler: SamplerSpec, seed: int) -> BaseSampler:
    return TPESampler(n_startup_trials=sampler.startup_trials, seed=seed)


def _random(sampler: SamplerSpec, seed: int) -> BaseSampler:  # noqa: ARG001  # one signature for all
    return RandomSampler(seed=seed)


def _cmaes(sampler: SamplerSpec, seed: int) -> BaseSampler:
    # Optuna loads its state as a pickle from the trials' attributes: `cmaes_state` removes those of a database.
    return CmaEsSampler(n_startup_trials=sampler.startup_trials, seed=seed, warn_independent_sampling=False)


def _gp(sampler: SamplerSpec, seed: int) -> BaseSampler:
    # Without the package greenlet it is slower, and prints so on stderr once.
    logging.getLogger("optuna._gp.batched_lbfgsb").setLevel(logging.ERROR)
    # At least one: until the first trial has ended there is nothing to fit to.
    return GPSampler(
        n_startup_trials=max(1, sampler.startup_trials), seed=seed, warn_independent_sampling=False
    )


_MAKERS: Mapping[str, Callable[[SamplerSpec, int], BaseSampler]] = {
    "tpe": _tpe,
    "random": _random,
    "cmaes": _cmaes,
    "gp": _gp,
}


def _seed(*words: int) -> int:
    """Return 32 bits that depend on every one of `words`, whole numbers from 0."""
    return int(np.random.SeedSequence(words).generate_state(1)[0])
