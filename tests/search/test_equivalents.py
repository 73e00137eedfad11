"""Samplers and pruners of Optuna programs as specifications."""

import pytest
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PatientPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
)
from optuna.samplers import BaseSampler, CmaEsSampler, GridSampler, QMCSampler, RandomSampler, TPESampler

from hpsearch.search.equivalents import drawn_seed, pruning_spec, sampler_spec
from hpsearch.search.searcher import make_pruner
from hpsearch.study.spec import NO_DATA, PruningSpec, SamplerSpec, StudySpec


@pytest.mark.parametrize(
    ("sampler", "spec"),
    [
        (TPESampler(), SamplerSpec(name="tpe")),
        (TPESampler(seed=7, n_startup_trials=3), SamplerSpec(name="tpe", startup_trials=3)),
        (RandomSampler(seed=7), SamplerSpec(name="random")),
        (TPESampler(n_ei_candidates=48), None),
        (GridSampler({"x": [1, 2]}), None),
        (CmaEsSampler(), None),
    ],
)
def test_a_sampler_has_an_equal_or_none(sampler: BaseSampler, spec: SamplerSpec | None) -> None:
    """Only samplers that ours equals have a specification: the others are left to Optuna."""
    assert sampler_spec(sampler) == spec


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_experimental_samplers_have_none() -> None:
    """A multivariate TPE and a sequence sample parameters together, which define-by-run here does not."""
    assert sampler_spec(TPESampler(multivariate=True)) is None
    assert sampler_spec(QMCSampler()) is None
    assert pruning_spec(PatientPruner(MedianPruner(), patience=1)) is None


def test_a_seeded_sampler_gives_its_seed() -> None:
    """The seed of a study follows from that of the program, and differs from call to call without one."""
    assert drawn_seed(TPESampler(seed=7)) == drawn_seed(TPESampler(seed=7)) != drawn_seed(TPESampler(seed=8))
    assert drawn_seed(RandomSampler()) != drawn_seed(RandomSampler())


@pytest.mark.parametrize(
    ("pruner", "spec"),
    [
        (NopPruner(), PruningSpec(rank="none")),
        (MedianPruner(), PruningSpec(rank="median")),
        (MedianPruner(3, 4), PruningSpec(rank="median", startup_trials=3, warmup_epochs=5)),
        (PercentilePruner(10.0), PruningSpec(rank="percentile", percentile=10.0)),
        (MedianPruner(interval_steps=2), None),
        (SuccessiveHalvingPruner(), None),
        (HyperbandPruner(), None),
    ],
)
def test_a_pruner_has_an_equal_or_none(pruner: BasePruner, spec: PruningSpec | None) -> None:
    """A median of ours has the percentile of Optuna's, and warm-up counts from an age of 1."""
    found = pruning_spec(pruner)
    assert (found is None) == (spec is None)
    if found is not None and spec is not None:
        assert (found.rank, found.startup_trials, found.warmup_epochs) == (
            spec.rank,
            spec.startup_trials,
            spec.warmup_epochs,
        )
        made = make_pruner(StudySpec(name="x", data=NO_DATA, metric="validation_loss", pruning=found))
        assert vars(made).get("_percentile") == vars(pruner).get("_percentile")
