"""The samplers, tied to the numbers of trials."""

import math
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.samplers import GridSampler

from hpsearch.errors import HpsearchError
from hpsearch.search.samplers import check_sampler
from hpsearch.search.searcher import Searcher
from hpsearch.search.space import distributions, grid, grid_size
from hpsearch.study.spec import Choices, Range, SamplerName, SamplerSpec, StudySpec
from hpsearch.trials import FIXED, ParameterValue, Trial, TrialState

SpecOf = Callable[..., StudySpec]
NOT_LEARNING: tuple[SamplerName, ...] = ("random", "qmc", "grid")
WIDE = (
    Range(name="learning_rate", low=1e-6, high=1.0, log=True),
    Range(name="model.dropout", low=0.0, high=0.5, step=0.1),
    Range(name="training.batch_size", low=10, high=500, log=True, integer=True),
    Range(name="momentum", low=0.5, high=0.5),
    Choices(name="model.hidden", choices=("[64]", "[64, 32]", "[128]")),
    Choices(name="model.batch_norm", choices=(True, False)),
)


def company(number: int, state: TrialState) -> Trial:
    """Return a trial of another client."""
    return Trial(
        number=number, state=state, params={"learning_rate": 0.1}, value=0.5, curve={0: 0.5}, worker="other"
    )


@pytest.mark.parametrize("sampler", NOT_LEARNING)
@settings(max_examples=25)
@given(
    numbers=st.permutations(range(12)),
    states=st.lists(st.sampled_from(TrialState), min_size=12, max_size=12),
    workers=st.integers(1, 3),
    stream=st.integers(0, 2**32),
)
def test_parameters_depend_on_seed_and_number_alone(
    spec_of: SpecOf, sampler: SamplerName, numbers: list[int], states: list[TrialState], **how: int
) -> None:
    """Law 1: in any order, by any worker, with any other trials, a number gets bit-identical parameters."""
    spec = spec_of(sampler, seed=5, search=WIDE)
    searchers = [Searcher(spec, stream=how["stream"] + i) for i in range(how["workers"])]
    for i, (number, state) in enumerate(zip(numbers, states, strict=True)):
        searcher = searchers[i % len(searchers)]
        params = searcher.suggest(number).params
        assert params == Searcher(spec).suggest(number).params
        searcher.learn([company(number + 1, state), company(1000 - number, state)])


@pytest.mark.parametrize("sampler", NOT_LEARNING)
def test_another_seed_gives_another_study(spec_of: SpecOf, sampler: SamplerName) -> None:
    """Studies with different seeds have different parameters."""
    one, two = (
        [Searcher(spec_of(sampler, seed=seed)).suggest(number).params for number in range(8)]
        for seed in (0, 1)
    )
    assert one != two


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc", "cmaes", "gp", "grid"])
def test_suggestions_lie_inside_the_space(spec_of: SpecOf, sampler: SamplerName) -> None:
    """Every parameter is suggested, in the order of the study, in its range and of its type."""
    spec = spec_of(sampler, search=WIDE, sampler=SamplerSpec(name=sampler, startup_trials=4, points=3))
    searcher = Searcher(spec)
    space = distributions(spec)
    types = {"learning_rate": float, "model.dropout": float, "training.batch_size": int, "momentum": float}
    for number in range(12):
        suggestion = searcher.suggest(number)
        params = suggestion.params
        assert list(params) == list(space)
        assert all(space[name]._contains(space[name].to_internal_repr(params[name])) for name in space)
        assert all(type(params[name]) is kind for name, kind in types.items())
        assert params["momentum"] == 0.5
        searcher.learn([complete(number, params, suggestion.system_attributes, value=number / 20)])


def complete(
    number: int, params: Mapping[str, ParameterValue], attributes: Mapping[str, Any], *, value: float
) -> Trial:
    """Return a complete trial."""
    return Trial(
        number=number,
        state=TrialState.COMPLETE,
        params=params,
        value=value,
        curve={0: value},
        steps=10,
        system_attributes=attributes,
    )


@pytest.mark.parametrize("sampler", ["tpe", "cmaes", "gp"])
def test_a_study_may_begin_without_random_trials(spec_of: SpecOf, sampler: SamplerName) -> None:
    """A sampler that learns from the first trial on can suggest that one too."""
    spec = spec_of(sampler, sampler=SamplerSpec(name=sampler, startup_trials=0))
    assert Searcher(spec).suggest(0).params.keys() == {"learning_rate", "weight_decay"}


def test_qmc_is_one_sequence_from_the_first_trial_on(spec_of: SpecOf) -> None:
    """64 trials put one value into each of 64 equal parts of every range: a Sobol sequence from 0."""
    searcher = Searcher(spec_of("qmc"))
    params = [searcher.suggest(number).params for number in range(64)]
    for name, low, decades in (("learning_rate", -6, 6), ("weight_decay", -8, 7)):
        parts = {int(64 * (math.log10(float(p[name])) - low) / decades) for p in params}
        assert parts == set(range(64))


def test_grid_visits_every_point_once_and_begins_again(spec_of: SpecOf) -> None:
    """As many trials as the grid has points visit all of them, shuffled; later ones repeat them."""
    spec = spec_of("grid", search=WIDE, sampler=SamplerSpec(name="grid", points=3))
    searcher, size = Searcher(spec), grid_size(spec)
    visited = [tuple(searcher.suggest(number).params.values()) for number in range(size)]
    assert set(Counter(visited).values()) == {1}
    assert visited != sorted(visited, key=str)
    assert tuple(searcher.suggest(size + 3).params.values()) == visited[3]


def test_a_trial_with_given_parameters_takes_no_point_of_the_grid(spec_of: SpecOf) -> None:
    """Despite enqueued trials and those of other clients, the others visit every point."""
    spec = spec_of("grid", sampler=SamplerSpec(name="grid", points=3))
    size = grid_size(spec)
    whole = Searcher(spec)
    points = [whole.suggest(number).params for number in range(size)]
    searcher = Searcher(spec)
    params = {"learning_rate": 0.5, "weight_decay": 1e-7}
    searcher.learn(
        [
            Trial(number=2, state=TrialState.WAITING, params={}, system_attributes={FIXED: params}),
            Trial(number=4, state=TrialState.COMPLETE, params=params, value=0.5),
        ]
    )
    assert searcher.suggest(3, {"learning_rate": 0.5}).params["learning_rate"] == 0.5
    numbers = [number for number in range(size + 3) if number not in (2, 3, 4)]
    assert [searcher.suggest(number).params for number in numbers] == points


def test_optunas_own_grid_sampler_reads_our_points(spec_of: SpecOf) -> None:
    """A stock client reads from our trials' attributes which points are done."""
    spec = spec_of("grid", sampler=SamplerSpec(name="grid", points=2))
    searcher, stock = Searcher(spec), GridSampler(grid(spec))
    study = optuna.create_study(sampler=stock)
    for number in range(4):
        assert not stock.is_exhausted(study)
        suggestion = searcher.suggest(number)
        study.add_trial(
            optuna.trial.create_trial(
                params=dict(suggestion.params),
                distributions=distributions(spec),
                system_attrs=dict(suggestion.system_attributes),
                value=0.5,
            )
        )
    assert stock.is_exhausted(study)


def test_a_learning_sampler_repeats_itself_after_the_same_history(spec_of: SpecOf) -> None:
    """A new Searcher that learned the history continues like the one that made it."""
    spec, history = spec_of("tpe"), list[Trial]()
    searcher = Searcher(spec)
    for number in range(15):
        again = Searcher(spec)
        again.learn(reversed(history))
        suggestion = searcher.suggest(number)
        assert again.suggest(number).params == suggestion.params
        value = float(suggestion.params["learning_rate"])
        history.append(complete(number, suggestion.params, suggestion.system_attributes, value=value))
        searcher.learn(history[-1:])


def test_streams_of_a_learning_sampler_differ(spec_of: SpecOf) -> None:
    """Workers with different streams draw different parameters, even for the same number."""
    draws = {str(Searcher(spec_of("tpe"), stream).suggest(0).params) for stream in range(5)}
    assert len(draws) == 5


def test_tpe_spreads_suggestions_that_have_no_result_yet(spec_of: SpecOf) -> None:
    """Ten trials in flight have ten different configurations, spread over the range."""
    searcher = Searcher(spec_of("tpe"))
    searcher.learn(
        complete(n, {"learning_rate": 10 ** (-n / 4), "weight_decay": 1e-5}, {}, value=1 / (1 + abs(n - 6)))
        for n in range(20)
    )
    rates = [math.log10(float(searcher.suggest(n).params["learning_rate"])) for n in range(20, 30)]
    assert len(set(rates)) == 10
    assert max(rates) - min(rates) > 1


@pytest.mark.parametrize(
    ("sampler", "package", "message"),
    [
        ("gp", "torch", 'sampler.name: "gp" needs PyTorch (not installed): pip install torch, or choose tpe'),
        (
            "cmaes",
            "cmaes",
            'sampler.name: "cmaes" needs the package cmaes (not installed): pip install cmaes, or choose tpe',
        ),
    ],
)
def test_a_sampler_whose_package_is_missing_is_refused(
    spec_of: SpecOf, monkeypatch: pytest.MonkeyPatch, sampler: SamplerName, package: str, message: str
) -> None:
    """The error names the package and an alternative, at the check of a study and at its search."""
    monkeypatch.setitem(sys.modules, package, None)
    spec = spec_of("tpe", sampler=SamplerSpec(name=sampler))
    for refuse in (check_sampler, Searcher):
        with pytest.raises(HpsearchError) as refused:
            refuse(spec)
        assert str(refused.value) == message


def test_a_grid_that_memory_cannot_hold_is_refused(spec_of: SpecOf) -> None:
    """A grid with too many points is refused, since Optuna would list each of them."""
    search = tuple(Range(name=f"p{i}", low=0.0, high=1.0) for i in range(8))
    with pytest.raises(HpsearchError) as refused:
        Searcher(spec_of("grid", search=search))
    assert str(refused.value) == (
        "sampler.points: a grid must have at most 1,000,000 points (got 100,000,000): "
        "take fewer than 10 from each range, or another sampler"
    )
