"""The views of the database's trials for a sampler and for a pruner.

Each has its own view, because law 7 needs opposite things: for the sampler a dead trial is the worst of all whatever it
reported, for the pruner its reports are as real as any others.
"""

import math
from collections.abc import Mapping
from typing import Any, final

from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from hpsearch.search.cmaes_state import ATTRIBUTE, from_json, from_pickle, to_pickle
from hpsearch.search.mirror import Mirror
from hpsearch.search.ranking import below_survivors, is_dead, last_value, shortness
from hpsearch.search.space import distribution_of, joint_distributions, sampled_together, values_inside
from hpsearch.study.spec import StudySpec
from hpsearch.trials import ParameterValue, Trial, TrialState

_FROM_VALUES = frozenset({"cmaes", "gp"})
"""Samplers that learn from complete trials and their values alone; tpe uses pruned trials too."""

_GENERATION = "cma:generation"
"""The attribute of Optuna's CMA-ES for the generation in which a trial was sampled."""

_OPTUNA_STATES = {
    TrialState.WAITING: OptunaState.WAITING,
    TrialState.RUNNING: OptunaState.RUNNING,
    TrialState.COMPLETE: OptunaState.COMPLETE,
    TrialState.PRUNED: OptunaState.PRUNED,
    TrialState.FAILED: OptunaState.FAIL,
}


@final
class SamplerView:
    """The trials in `mirror` as the study's sampler should see them.

    Only trials that have every searched parameter without a condition, inside its present range, are shown: others (of
    another client, or from before the space was narrowed) would make Optuna sample each parameter on its own
    permanently. Of these trials
    * failed ones are shown as FAIL, which no sampler learns from;
    * running and waiting ones are shown as RUNNING, so that no other trial gets the same place;
    * complete ones with a finite value are shown unchanged;
    * those pruned by rank are shown to tpe as PRUNED with their curve: it ranks them below complete ones, by age and
      then by value. cmaes and gp, which ignore PRUNED, see them as COMPLETE with their last value, which judges a young
      trial a little too harshly, or not at all if they have none;
    * dead ones (`ranking.is_dead`) are shown to tpe as PRUNED without a curve and with a violated constraint, which
      ranks them below all others. cmaes and gp see them as COMPLETE, with values below the worst survivor;
      `update_dead_values` keeps these below as survivors arrive.

    `optional` are the distributions of parameters that some trials have: conditional ones, and those outside the search
    space that training functions asked for. Trials are shown with those that they have.
    """

    def __init__(self, spec: StudySpec, direction: StudyDirection) -> None:
        self.mirror = Mirror(spec.name, direction)
        self._space = joint_distributions(spec)
        self.optional = {each.name: distribution_of(each) for each in spec.search if each.when}
        self._maximize = direction is StudyDirection.MAXIMIZE
        self._from_values = spec.sampler.name in _FROM_VALUES
        self._survivors: dict[int, float] = {}  # number -> value, if values are learned from
        self._dead: dict[int, float] = {}  # number -> how short its life was, likewise

    def ask(self, number: int, fixed: Mapping[str, ParameterValue]) -> None:
        """Insert trial `number` for `Study.ask`, with those values of `fixed` that are inside the search space."""
        self._forget(number)
        inside = values_inside(self._space, fixed)
        attributes = {"fixed_params": inside} if inside else {}
        self.mirror.put(_frozen(number, OptunaState.WAITING, system_attrs=attributes))

    def show(self, trial: Trial) -> None:
        """Insert `trial`, or replace the one of its number."""
        self._forget(trial.number)
        params = values_inside(self._space, trial.params)
        if len(params) < len(self._space):
            return
        value = last_value(trial)
        if trial.state in (TrialState.WAITING, TrialState.RUNNING):
            self._put(trial, OptunaState.RUNNING, params)
        elif trial.state is TrialState.FAILED:
            self._put(trial, OptunaState.FAIL, params)
        elif is_dead(trial):
            self._show_dead(trial, params)
        elif trial.state is TrialState.COMPLETE:
            self._show_survivor(trial, params, value)
        elif not self._from_values:
            self._put(trial, OptunaState.PRUNED, params, intermediate_values=_by_age(trial.curve))
        elif value is not None:
            self._show_survivor(trial, params, value)

    def update_dead_values(self) -> None:
        """Move the values of dead trials below those of all survivors, in place."""
        edge, step = below_survivors(self._survivors.values(), maximize=self._maximize)
        for number, short in self._dead.items():
            self.mirror.get_trial(number).value = edge + step * short

    def _show_survivor(self, trial: Trial, params: dict[str, ParameterValue], value: float | None) -> None:
        self._put(trial, OptunaState.COMPLETE, params, value=value)
        if self._from_values and value is not None:
            self._survivors[trial.number] = value

    def _show_dead(self, trial: Trial, params: dict[str, ParameterValue]) -> None:
        short = shortness(trial)
        if self._from_values:
            self._dead[trial.number] = short
            self._put(trial, OptunaState.COMPLETE, params, value=0.0)
        else:
            self._put(trial, OptunaState.PRUNED, params)
            self.mirror.get_trial(trial.number).set_constraint("death", short)

    def _put(self, trial: Trial, state: OptunaState, params: dict[str, ParameterValue], **shown: Any) -> None:
        attributes = _cmaes_attributes(trial.system_attributes, self._space)
        own = values_inside(self.optional, trial.params)
        self.mirror.put(
            _frozen(
                trial.number,
                state,
                params={**params, **own},
                distributions={**self._space, **{name: self.optional[name] for name in own}},
                system_attrs=attributes,
                **shown,
            )
        )

    def _forget(self, number: int) -> None:
        self.mirror.remove(number)
        self._survivors.pop(number, None)
        self._dead.pop(number, None)


def _cmaes_attributes(
    attributes: Mapping[str, Any], space: Mapping[str, BaseDistribution]
) -> Mapping[str, Any]:
    """Return a trial's attributes for Optuna's CMA-ES: its generation, and a state of that many parameters.

    A state that does not fit is omitted; the sampler continues from an earlier one.
    """
    shown = {key: attributes[key] for key in (_GENERATION,) if key in attributes}
    state = from_json(attributes[ATTRIBUTE]) if ATTRIBUTE in attributes else from_pickle(attributes)
    if state is None or len(state.mean) != len(sampled_together("cmaes", space)):
        return shown
    return shown | to_pickle(state)


@final
class PrunerView:
    """The trials in `mirror` as the study's pruner should see them: all of them, with their reports.

    Parameters are omitted, since no pruner reads them. A value after epoch e is at step e + 1, the trial's age (see
    `searcher.make_pruner`); the database stores e.
    """

    def __init__(self, spec: StudySpec, direction: StudyDirection) -> None:
        self.mirror = Mirror(spec.name, direction)

    def show(self, trial: Trial) -> None:
        """Insert `trial`, or replace the one of its number."""
        rungs = {key: v for key, v in trial.system_attributes.items() if _is_rung(key, v)}
        state = _OPTUNA_STATES[trial.state]
        self.mirror.put(
            _frozen(trial.number, state, intermediate_values=_by_age(trial.curve), system_attrs=rungs)
        )

    def begin(self, number: int) -> None:
        """Show trial `number` as RUNNING and without reports."""
        self.mirror.put(_frozen(number, OptunaState.RUNNING))

    def report(self, number: int, epoch: int, value: float) -> None:
        """Add the report of trial `number` after `epoch` (from 0), at which a trial starts anew.

        Reports of a lost run are cleared: the trial is as old as its present run.
        """
        if epoch == 0 or number not in self.mirror:
            self.begin(number)
        self.mirror.set_trial_intermediate_value(number, _age(epoch), value)


def _age(epoch: int) -> int:
    return epoch + 1


def _by_age(curve: Mapping[int, float]) -> dict[int, float]:
    return {_age(epoch): value for epoch, value in curve.items()}


def _is_rung(key: str, value: object) -> bool:
    """Return True for a value that asha or hyperband could have stored: they compare them as numbers."""
    return key.startswith("completed_rung_") and isinstance(value, int | float) and not math.isnan(value)


def _frozen(number: int, state: OptunaState, **known: Any) -> FrozenTrial:
    """Return a trial of Optuna's. `known` are arguments of FrozenTrial; missing ones are empty."""
    empty: dict[str, Any] = {
        "value": None,
        "datetime_start": None,
        "datetime_complete": None,
        "params": {},
        "distributions": {},
        "user_attrs": {},
        "system_attrs": {},
        "intermediate_values": {},
    }
    return FrozenTrial(number=number, trial_id=number, state=state, **(empty | known))
