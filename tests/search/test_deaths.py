"""Law 7: the sampler learns from deaths. A dead trial ranks below every trial that survived."""

import itertools
import math
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.pruners import NopPruner
from optuna.samplers import RandomSampler
from optuna.samplers._tpe.sampler import _split_trials
from optuna.study import StudyDirection, load_study

from hpsearch.search.ranking import is_dead
from hpsearch.search.searcher import Searcher
from hpsearch.search.views import SamplerView
from hpsearch.study.spec import DataSpec, SamplerName, SamplerSpec, StudySpec
from hpsearch.trials import ParameterValue, Trial, TrialState
from hpsearch.verdicts import Cause, Finding

SpecOf = Callable[..., StudySpec]
PARAMS: Mapping[str, ParameterValue] = {"learning_rate": 0.1, "weight_decay": 1e-4}


def found(cause: Cause) -> Finding:
    """Return a finding of `cause`."""
    return Finding(cause=cause, confidence=1.0, first_step=3, evidence={}, remedy="")


@st.composite
def ended_trials(draw: st.DrawFn) -> list[Trial]:
    """Draw trials with every kind of end, numbered from 0."""
    number = st.floats(-10, 10) | st.sampled_from([math.nan, math.inf])
    trials = []
    for i in range(draw(st.integers(1, 25))):
        curve = dict(enumerate(draw(st.lists(number, max_size=4))))
        trials.append(
            Trial(
                number=i,
                state=draw(st.sampled_from([TrialState.COMPLETE, TrialState.PRUNED])),
                params=PARAMS,
                value=curve[max(curve)] if curve else None,
                curve=curve,
                finding=draw(st.sampled_from([None, *map(found, (Cause.OUTRANKED, Cause.DIVERGED_LR))])),
                steps=draw(st.integers(0, 500)),
            )
        )
    return trials


def view_of(trials: list[Trial], sampler: SamplerName, direction: StudyDirection) -> SamplerView:
    """Return the sampler's view of `trials`."""
    spec = StudySpec(name="toy", data=DataSpec(source="digits"), sampler=SamplerSpec(name=sampler))
    view = SamplerView(spec, direction)
    for trial in trials:
        view.show(trial)
    view.update_dead_values()
    return view


@given(ended_trials(), st.sampled_from([StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]))
def test_tpe_ranks_every_dead_trial_below_every_survivor(
    trials: list[Trial], direction: StudyDirection
) -> None:
    """If TPE takes as many good trials as there are survivors, it takes exactly these.

    The next one is the dead trial that lived longest.
    """
    view = view_of(trials, "tpe", direction)
    study = load_study(study_name="toy", storage=view.mirror, sampler=RandomSampler(), pruner=NopPruner())
    shown = study.get_trials(deepcopy=False)
    survivors = {trial.number for trial in trials if not is_dead(trial)}
    good, _ = _split_trials(study, shown, len(survivors))
    assert {trial.number for trial in good} == survivors
    dead = sorted((t for t in trials if t.number not in survivors), key=lambda t: -t.steps)
    if dead:
        good, _ = _split_trials(study, shown, len(survivors) + 1)
        (first,) = {trial.number for trial in good} - survivors
        assert trials[first].steps == dead[0].steps


@pytest.mark.parametrize("sampler", ["cmaes", "gp"])
@given(
    trials=ended_trials(),
    later=st.lists(st.floats(-100, 100), max_size=3),
    direction=st.sampled_from([StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]),
)
def test_samplers_of_values_see_dead_trials_below_all_survivors(
    sampler: SamplerName, trials: list[Trial], later: list[float], direction: StudyDirection
) -> None:
    """The values of dead trials are finite and worse than every survivor's, later ones included.

    They rank by length of life.
    """
    view = view_of(trials, sampler, direction)
    for i, value in enumerate(later):
        view.show(Trial(number=100 + i, state=TrialState.COMPLETE, params=PARAMS, value=value))
    view.update_dead_values()
    sign = 1 if direction is StudyDirection.MINIMIZE else -1
    dead = {trial.number for trial in trials if is_dead(trial)}
    losses = {t.number: sign * t.value for t in view.mirror.get_all_trials(0) if t.value is not None}
    assert dead <= losses.keys()
    assert all(math.isfinite(loss) for loss in losses.values())
    worst = max((loss for number, loss in losses.items() if number not in dead), default=-math.inf)
    assert all(losses[number] > worst for number in dead)
    for one, other in itertools.product(dead, repeat=2):
        assert (losses[one] > losses[other]) == (trials[one].steps < trials[other].steps)


def in_deadly_half(spec: StudySpec, state: TrialState, cause: Cause, *, trials: int, last: int) -> int:
    """Search a toy whose lower half of log learning rate kills; return how many of the `last` suggestions lie there.

    Survivors are better nearer to the fatal half. Trials in it report better values than any survivor throughout, and
    end in `state` for `cause`.
    """
    searcher = Searcher(spec)
    deaths = []
    for number in range(trials):
        suggestion = searcher.suggest(number)
        rate = math.log10(float(suggestion.params["learning_rate"]))
        deaths.append(rate < -3)
        loss = 0.01 if deaths[-1] else 0.1 + 0.05 * (rate + 2.8) ** 2
        value = loss if spec.metric == "validation_loss" else 1 - loss
        ended = Trial(
            number=number,
            state=state if deaths[-1] else TrialState.COMPLETE,
            params=suggestion.params,
            value=value,
            curve=dict.fromkeys(range(20), value),
            finding=found(cause) if deaths[-1] else None,
            steps=300,
            system_attributes=suggestion.system_attributes,
        )
        searcher.learn([ended])
    return sum(deaths[-last:])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_tpe_avoids_the_region_of_deaths(spec_of: SpecOf, seed: int) -> None:
    """Few suggestions lie in the region of deaths; if deaths are ignored as failures, nearly all do."""
    spec = spec_of("tpe", seed=seed)
    learned = in_deadly_half(spec, TrialState.PRUNED, Cause.DIVERGED_LR, trials=150, last=50)
    ignored = in_deadly_half(spec, TrialState.FAILED, Cause.CODE_ERROR, trials=150, last=50)
    assert learned <= 25
    assert ignored >= 45


def test_cmaes_avoids_the_region_of_deaths(spec_of: SpecOf) -> None:
    """CMA-ES leaves the region whose trials reported the best values before they died."""
    spec = spec_of("cmaes", metric="validation_loss")
    learned = in_deadly_half(spec, TrialState.PRUNED, Cause.DIVERGED_LR, trials=150, last=50)
    believed = in_deadly_half(spec, TrialState.PRUNED, Cause.OUTRANKED, trials=150, last=50)
    assert learned <= 10
    assert believed >= 45


def test_gp_avoids_the_region_of_deaths(spec_of: SpecOf) -> None:
    """The Gaussian process leaves that region too, with fewer trials."""
    spec = spec_of("gp", metric="validation_loss")
    learned = in_deadly_half(spec, TrialState.PRUNED, Cause.DIVERGED_LR, trials=40, last=15)
    believed = in_deadly_half(spec, TrialState.PRUNED, Cause.OUTRANKED, trials=40, last=15)
    assert learned <= 5
    assert believed >= 13
