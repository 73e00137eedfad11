"""Suggestions and verdicts, with every sampler and every pruner."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpsearch.search.searcher import Searcher
from hpsearch.study.spec import (
    NO_DATA,
    Choices,
    ObjectiveSpec,
    Range,
    RankName,
    SamplerName,
    SamplerSpec,
    StudySpec,
)
from hpsearch.trials import ParameterValue, Trial, TrialState
from hpsearch.verdicts import Cause, Finding

SpecOf = Callable[..., StudySpec]
SAMPLERS: tuple[SamplerName, ...] = ("tpe", "random", "qmc", "cmaes", "gp", "grid")
RANKS: tuple[RankName, ...] = ("none", "median", "percentile", "asha", "hyperband")
PARAMS: Mapping[str, ParameterValue] = {"learning_rate": 0.1, "weight_decay": 1e-4}


def trial(number: int, state: TrialState = TrialState.COMPLETE, **known: Any) -> Trial:
    """Return a trial with parameters inside the space."""
    fields: dict[str, Any] = {"number": number, "state": state, "params": PARAMS, "steps": 10}
    return Trial(**(fields | known))


def history(count: int) -> list[Trial]:
    """Return complete trials spread over the space."""
    random = np.random.default_rng(0)
    return [
        trial(
            number,
            params={
                "learning_rate": float(10 ** random.uniform(-6, 0)),
                "weight_decay": float(10 ** random.uniform(-8, -1)),
            },
            value=float(random.random()),
        )
        for number in range(count)
    ]


def accuracy(params: Mapping[str, ParameterValue], epoch: int) -> float:
    """Return the accuracy of a toy network with these parameters after `epoch`."""
    return 0.9 - 0.05 * abs(math.log10(float(params["learning_rate"])) + 2) - 0.3 / (epoch + 1)


@pytest.mark.parametrize(
    ("sampler", "rank"),
    [*((sampler, "median") for sampler in SAMPLERS), *(("tpe", rank) for rank in RANKS if rank != "median")],
)
def test_every_sampler_and_every_pruner_work(
    spec_of: SpecOf, sampler: SamplerName, rank: RankName, capfd: pytest.CaptureFixture[str]
) -> None:
    """Thirty trials, three at a time, run to their ends without output or warnings."""
    searcher = Searcher(spec_of(sampler, rank))
    fates = []
    for first in range(0, 30, 3):
        suggestions = {number: searcher.suggest(number) for number in range(first, first + 3)}
        for number, suggestion in suggestions.items():
            curve, attributes = {}, dict(suggestion.system_attributes)
            state = TrialState.COMPLETE
            for epoch in range(5):
                curve[epoch] = accuracy(suggestion.params, epoch)
                searcher.report(number, epoch, curve[epoch])
                is_outranked = searcher.is_outranked(number)
                attributes |= searcher.take_attributes(number)
                if is_outranked:
                    state = TrialState.PRUNED
                    break
            fates.append(state)
            searcher.learn(
                [
                    trial(
                        number,
                        state,
                        params=suggestion.params,
                        value=curve[max(curve)],
                        curve=curve,
                        system_attributes=attributes,
                    )
                ]
            )
    assert (TrialState.PRUNED in fates) == (rank != "none")
    assert TrialState.COMPLETE in fates
    assert capfd.readouterr() == ("", "")


def test_the_metric_must_be_resolved(spec_of: SpecOf) -> None:
    """A study without a resolved metric cannot be searched."""
    with pytest.raises(ValueError, match=r"metric: must be resolved before a search \(got 'auto'\)"):
        Searcher(spec_of(metric="auto"))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_fixed_values_inside_the_space_are_used(spec_of: SpecOf, sampler: SamplerName) -> None:
    """Enqueued values in the space are used unchanged; missing ones and those outside are sampled."""
    searcher = Searcher(spec_of(sampler))
    for number in range(15):
        fixed = {"learning_rate": 0.125, "weight_decay": 7.0, "momentum": 0.5}
        suggestion = searcher.suggest(number, fixed)
        assert suggestion.params.keys() == PARAMS.keys()
        assert suggestion.params["learning_rate"] == 0.125
        assert 1e-8 <= float(suggestion.params["weight_decay"]) <= 1e-1
        searcher.learn([trial(number, params=suggestion.params, value=0.1 * number)])


def odd_trials() -> list[Trial]:
    """Return trials that other clients and failed runs may leave in a database, by number."""
    finding = Finding(cause=Cause.WORKER_LOST, confidence=1.0, first_step=0, evidence={}, remedy="")
    return [
        trial(100, value=None),
        trial(101, value=math.nan, curve={0: math.nan}),
        trial(102, value=math.inf, curve={0: 0.4, 1: math.inf}),
        trial(103, value=-math.inf),
        trial(104, TrialState.PRUNED),
        trial(105, TrialState.PRUNED, value=math.nan, curve={0: math.nan, 5: math.nan}),
        trial(106, TrialState.FAILED, finding=finding, value=0.3),
        trial(107, TrialState.RUNNING, params={}),
        trial(108, TrialState.WAITING, params={"learning_rate": 0.5}),
        trial(109, params={"learning_rate": 5.0, "weight_decay": 1e-4}, value=0.5),
        trial(110, params={"learning_rate": "fast", "weight_decay": None}, value=0.5),
        trial(111, params={"lr": 0.1}, value=0.5),
        trial(112, params={**PARAMS, "lr": 0.1}, value=0.5),
        trial(113, value=0.5, system_attributes={"constraints": [1.0], "grid_id": 3, "x": "y"}),
        trial(114, TrialState.RUNNING, system_attributes={"tpe:relative_params:0": "{"}),
    ]


@pytest.mark.parametrize("rank", ["median", "hyperband"])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_odd_trials_break_nothing(spec_of: SpecOf, sampler: SamplerName, rank: RankName) -> None:
    """Non-finite values and trials of other clients do not stop a study."""
    searcher = Searcher(spec_of(sampler, rank, sampler=SamplerSpec(name=sampler, startup_trials=2)))
    searcher.learn(odd_trials())
    for number in range(200, 205):
        assert searcher.suggest(number).params.keys() == PARAMS.keys()
        searcher.report(number, 0, 0.5)
        searcher.is_outranked(number)
    searcher.learn(history(12))
    searcher.learn(odd_trials())
    assert searcher.suggest(300).params.keys() == PARAMS.keys()


def test_trials_of_another_space_are_not_shown_to_the_sampler(spec_of: SpecOf) -> None:
    """Trials with missing parameters or values outside the ranges do not change TPE's suggestions."""
    foreign = [one for one in odd_trials() if one.number in (107, 108, 109, 110, 111)]
    without, with_them = Searcher(spec_of()), Searcher(spec_of())
    without.learn(history(20))
    with_them.learn([*history(20), *foreign])
    assert with_them.suggest(500) == without.suggest(500)


def test_attributes_of_other_clients_are_not_shown_to_the_sampler(spec_of: SpecOf) -> None:
    """Constraints that another client set on trials do not change TPE's ranks."""
    trials = history(20)
    marked = [replace(one, system_attributes={"constraints": [one.value]}) for one in trials]
    without, with_them = Searcher(spec_of()), Searcher(spec_of())
    without.learn(trials)
    with_them.learn(marked)
    assert with_them.suggest(500) == without.suggest(500)


def test_under_hyperband_the_sampler_sees_all_brackets(spec_of: SpecOf) -> None:
    """TPE learns from all trials, not from its own bracket alone."""
    suggestions = []
    for rank in ("none", "hyperband"):
        searcher = Searcher(spec_of("tpe", rank))
        searcher.learn(history(20))
        searcher.report(400, 0, 0.5)
        searcher.is_outranked(400)
        suggestions.append(searcher.suggest(500))
    assert suggestions[0] == suggestions[1]


@settings(max_examples=20)
@given(order=st.permutations(range(25)), twice=st.lists(st.integers(0, 24)))
def test_learning_is_idempotent_and_order_does_not_matter(
    spec_of: SpecOf, order: list[int], twice: list[int]
) -> None:
    """Only the last record of a trial counts, not how often or in which order trials are learned."""
    trials = history(25)
    straight, shuffled = Searcher(spec_of()), Searcher(spec_of())
    straight.learn(trials)
    shuffled.learn(trial(number, TrialState.RUNNING) for number in range(25))
    shuffled.learn(trials[number] for number in [*order, *twice])
    assert shuffled.suggest(60) == straight.suggest(60)


def test_running_trials_keep_others_away(spec_of: SpecOf) -> None:
    """A trial that another worker runs changes TPE's next suggestion."""
    alone, beside = Searcher(spec_of()), Searcher(spec_of())
    alone.learn(history(20))
    beside.learn(history(20))
    suggestion = alone.suggest(21)
    beside.learn([trial(20, TrialState.RUNNING, params=suggestion.params)])
    assert beside.suggest(21).params != suggestion.params


def test_a_trial_that_runs_here_keeps_its_reports(spec_of: SpecOf) -> None:
    """The database may lack reports of a running trial; its record of a finished one counts."""
    searcher = Searcher(spec_of("random", "median"))
    searcher.learn(trial(number, value=0.5, curve={0: 0.5, 1: 0.5}) for number in range(5))
    searcher.suggest(10)
    searcher.report(10, 0, 0.9)
    searcher.learn([trial(10, TrialState.RUNNING)])
    searcher.report(10, 1, 0.1)
    assert not searcher.is_outranked(10)  # its best so far is 0.9
    searcher.learn([trial(10, value=0.1, curve={0: 0.1, 1: 0.1})])
    searcher.report(10, 1, 0.1)
    assert searcher.is_outranked(10)


def test_an_unknown_trial_has_no_verdict(spec_of: SpecOf) -> None:
    """A request for an unknown number raises KeyError."""
    with pytest.raises(KeyError, match="trial 3"):
        Searcher(spec_of("random", "median")).is_outranked(3)


def test_attributes_do_not_repeat_parameters(spec_of: SpecOf) -> None:
    """TPE's copy of the parameters, and fixed values, are not stored a second time."""
    searcher = Searcher(spec_of())
    searcher.learn(history(20))
    assert searcher.suggest(20, {"learning_rate": 0.1}).system_attributes == {}
    assert searcher.take_attributes(20) == {}


def test_attributes_are_returned_once(spec_of: SpecOf) -> None:
    """Attributes of the sampler are in the suggestion; `take_attributes` returns later ones."""
    searcher = Searcher(spec_of("grid", "asha"))
    assert searcher.suggest(4).system_attributes["grid_id"] == 4
    assert searcher.take_attributes(4) == {}
    searcher.report(4, 0, 0.5)
    searcher.is_outranked(4)
    assert searcher.take_attributes(4) == {"completed_rung_0": 0.5}
    assert searcher.take_attributes(4) == {}


def test_lists_are_text_to_the_sampler(spec_of: SpecOf) -> None:
    """The widths of layers are strings to the sampler, which learns the better ones."""
    search = (
        Choices(name="model.hidden", choices=("[8]", "[64, 32]")),
        Range(name="learning_rate", low=1e-3, high=1.0, log=True),
    )
    searcher = Searcher(spec_of(search=search))
    chosen = []
    for number in range(40):
        params = searcher.suggest(number).params
        chosen.append(params["model.hidden"])
        searcher.learn([trial(number, params=params, value=0.9 if chosen[-1] == "[64, 32]" else 0.1)])
    assert chosen[-20:].count("[64, 32]") > 15


def asking(sampler: SamplerName) -> Searcher:
    """Return a searcher of a training function that asks for its parameters, which has 40 trials."""
    spec = StudySpec(
        name="asking",
        data=NO_DATA,
        metric="value",  # type: ignore[arg-type] # any name, for a study with an objective
        search=(),
        sampler=SamplerSpec(name=sampler),
        objective=ObjectiveSpec(function="train:train"),
    )
    searcher = Searcher(spec)
    searcher.learn(trial(n, params={"x": n / 40}, value=(n / 40 - 0.25) ** 2) for n in range(40))
    return searcher


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_running_trial_may_ask_for_parameters(sampler: SamplerName) -> None:
    """Every sampler gives a value inside the range, the same for the same trial and name after the same history."""
    x, depth = Range(0.0, 1.0, name="x"), Range(1, 9, step=2.0, integer=True, name="depth")
    kind, only = Choices(["a", "b"], name="kind"), Range(3.0, 3.0, name="only")
    drawn = [
        [searcher.suggest_one(number, one) for number in (40, 41) for one in (x, depth, kind, only)]
        for searcher in (asking(sampler), asking(sampler))
    ]
    assert drawn[0] == drawn[1]
    assert drawn[0][0] != drawn[0][4]
    for value, odd, word, fixed in (drawn[0][:4], drawn[0][4:]):
        assert 0 <= float(value) <= 1
        assert odd in (1, 3, 5, 7, 9)
        assert word in ("a", "b")
        assert fixed == 3.0


def test_tpe_learns_from_parameters_that_were_asked_for() -> None:
    """After 40 trials, most values lie near the best ones."""
    searcher = asking("tpe")
    drawn = [float(searcher.suggest_one(number, Range(0.0, 1.0, name="x"))) for number in range(40, 60)]
    assert sum(abs(x - 0.25) < 0.2 for x in drawn) >= 15
