"""Suggestions of conditional parameters, and searches that are narrowed around them."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from hpsearch.search.narrowing import propose, warm_start
from hpsearch.search.searcher import Searcher
from hpsearch.study.spec import Choices, Range, SamplerName, StudySpec
from hpsearch.trials import ParameterValue, Trial, TrialState

SPACE = (
    Range(0.5, 0.99, name="momentum", when={"training.optimizer": "momentum"}),
    Choices(["adam", "momentum"], name="training.optimizer"),
    Range(1e-4, 1.0, log=True, name="learning_rate"),
)


def params_of(spec: StudySpec, numbers: list[int]) -> dict[int, Mapping[str, ParameterValue]]:
    """Return the parameters of trials that one searcher suggests in this order."""
    searcher = Searcher(spec)
    return {number: searcher.suggest(number).params for number in numbers}


@pytest.mark.parametrize("sampler", ["random", "qmc", "grid"])
def test_they_depend_on_seed_and_number_alone(
    spec_of: Callable[..., StudySpec], sampler: SamplerName
) -> None:
    """With samplers that do not learn, a trial gets the same parameters in any company, conditional ones too."""
    spec = spec_of(sampler, search=SPACE, trials=20)
    together, backwards = params_of(spec, list(range(12))), params_of(spec, [11, 3, 0, 7])
    assert all(together[number] == params for number, params in backwards.items())
    has = {number: "momentum" in params for number, params in together.items()}
    assert has == {n: params["training.optimizer"] == "momentum" for n, params in together.items()}
    drawn = [params["momentum"] for params in together.values() if "momentum" in params]
    assert len(set(drawn)) == len(drawn) > 2


@pytest.mark.parametrize("sampler", ["tpe", "cmaes"])
def test_a_sampler_learns_from_trials_without_them(
    spec_of: Callable[..., StudySpec], sampler: SamplerName
) -> None:
    """Trials that lack conditional parameters teach the others, and TPE learns these from the trials with them."""
    searcher = Searcher(spec_of(sampler, search=SPACE))
    generator = np.random.default_rng(0)
    found = []
    for number in range(60):
        params = searcher.suggest(number).params
        value = 0.9 - abs(float(params["momentum"]) - 0.6) if "momentum" in params else 0.3
        noisy = value + generator.normal(0, 0.01)
        searcher.learn([Trial(number=number, state=TrialState.COMPLETE, params=params, value=noisy, steps=1)])
        found.append(params)
    late = [float(params["momentum"]) for params in found[30:] if "momentum" in params]
    assert all(("momentum" in params) == (params["training.optimizer"] == "momentum") for params in found)
    if sampler == "tpe":
        assert len(late) > 20
        assert abs(float(np.median(late)) - 0.6) < 0.08


@pytest.mark.parametrize("sampler", ["random", "qmc", "grid", "tpe"])
def test_none_is_a_value_like_others(spec_of: Callable[..., StudySpec], sampler: SamplerName) -> None:
    """It is sampled and learned from, and a condition may need it."""
    depth = Choices([None, 5], name="depth")
    spec = spec_of(sampler, search=(depth, Range(0.0, 1.0, name="leaf", when={"depth": None})), trials=20)
    searcher, values = Searcher(spec), []
    for number in range(20):
        params = searcher.suggest(number).params
        values.append(params["depth"])
        assert ("leaf" in params) == (params["depth"] is None)
        value = 1.0 if params["depth"] is None else 0.0
        ended = Trial(number=number, state=TrialState.COMPLETE, params=params, value=value, worker="ann")
        searcher.learn([ended])
    assert set(values) == {None, 5}
    assert sampler != "tpe" or values.count(None) > 12


def test_given_values_are_used_where_they_apply(spec_of: Callable[..., StudySpec]) -> None:
    """An enqueued value of a conditional parameter is used if its condition holds, and left out otherwise."""
    searcher = Searcher(spec_of("random", search=SPACE))
    given: dict[str, ParameterValue] = {"training.optimizer": "momentum", "momentum": 0.75}
    assert searcher.suggest(0, given).params["momentum"] == 0.75
    assert "momentum" not in searcher.suggest(2, given | {"training.optimizer": "adam"}).params


def ended(count: int, *, best: str) -> list[Trial]:
    """Return trials of which those with the optimizer `best` have the best results."""
    generator = np.random.default_rng(1)
    trials = []
    for number in range(count):
        optimizer = ("adam", "momentum")[number % 2]
        params: dict[str, ParameterValue] = {
            "training.optimizer": optimizer,
            "learning_rate": float(10 ** generator.uniform(-4, 0)),
        }
        if optimizer == "momentum":
            params["momentum"] = float(generator.uniform(0.5, 0.99))
        value = (0.9 if optimizer == best else 0.2) + generator.uniform(0, 0.05)
        trials.append(
            Trial(number=number, state=TrialState.COMPLETE, params=params, value=float(value), steps=1)
        )
    return trials


def test_narrowing_keeps_what_the_best_trials_can_have(spec_of: Callable[..., StudySpec]) -> None:
    """A dimension whose parent lost the value that it needs is removed; others stay, and the best trials begin."""
    spec = spec_of("random", search=SPACE, trials=40)
    without = propose(spec, ended(60, best="adam"), maximize=True)
    assert [each.name for each in without.search] == ["training.optimizer", "learning_rate"]
    assert [one.change for one in without.revisions][:2] == ["removed", "narrowed"]
    trials = ended(60, best="momentum")
    kept = propose(spec, trials, maximize=True)
    assert [each.name for each in kept.search] == [each.name for each in SPACE]
    assert kept.inside
    assert all("momentum" in params for params in warm_start(spec, trials, maximize=True))
