"""Suggestions and verdicts: the parameters of a trial, and whether to prune a running one."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, final

from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
)
from optuna.samplers import RandomSampler
from optuna.study import StudyDirection, load_study
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from hpsearch.search.cmaes_state import without_pickles
from hpsearch.search.samplers import make_sampler, sample_alone
from hpsearch.search.space import distribution_of, joint_distributions, values_inside
from hpsearch.search.views import PrunerView, SamplerView
from hpsearch.study.conditions import applies, parents_first
from hpsearch.study.plan import epoch_span, known_rank, with_rank
from hpsearch.study.spec import Choices, Dimension, Range, StudySpec
from hpsearch.trials import FIXED, ParameterValue, Trial, TrialState, collection_paused

_NOTHING: Mapping[str, ParameterValue] = MappingProxyType({})

_ALREADY_KEPT = ("tpe:relative_params", "gp:relative_params")
"""Copies of a running trial's parameters, for storages that get them one by one. Ours gets them at once."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Suggestion:
    """The parameters of one trial (flat dotted names), and the sampler's attributes to store with it."""

    params: Mapping[str, ParameterValue]
    system_attributes: Mapping[str, Any] = field(default_factory=dict)


@final
class Searcher:
    """A study's sampler and pruner, with the study in memory as they need it.

    It reads no database: `learn` adds the trials of others; store the results of `suggest` and `take_attributes`, so
    that others can learn them. With random and qmc the parameters of a trial depend on the study's seed and the trial's
    number alone, with grid also on the smaller numbers with given parameters. A learning sampler suggests the same for
    the same number after the same history; numbers are never reused, so workers draw different values even without
    `stream`, which is mixed into a learning sampler's draws.

    Raises ValueError for a metric that is not resolved, and HpsearchError for a sampler that needs a package that is
    not installed.
    """

    def __init__(self, spec: StudySpec, stream: int = 0) -> None:
        direction = _direction(spec)
        self._given: set[int] = set()
        self._space = joint_distributions(spec)
        self._conditional = [each for each in parents_first(spec.search) if each.when]
        self._sampler_view = SamplerView(spec, direction)
        self._pruner_view = PrunerView(spec, direction)
        self._sampler_study = load_study(
            study_name=spec.name,
            storage=self._sampler_view.mirror,
            sampler=make_sampler(spec, self._sampler_view.mirror, stream, self._given),
            pruner=NopPruner(),  # hyperband's would make the sampler learn from its bracket alone
        )
        self._pruner = make_pruner(spec)
        self._pruner_study = load_study(
            study_name=spec.name,
            storage=self._pruner_view.mirror,
            sampler=RandomSampler(),  # never called
            pruner=self._pruner,
        )
        self._spec = spec
        self._known: dict[int, Trial] = {}  # of a training function, which may ask for parameters at any time
        self._running_here: set[int] = set()
        self._outranked: dict[int, bool] = {}

    @collection_paused()
    def learn(self, trials: Iterable[Trial]) -> None:
        """Insert the database's records of `trials`: each is added, or replaces the one of its number.

        A trial that runs in this Searcher keeps the reports made here, which the database may not have yet.
        """
        for trial in trials:
            if has_given_parameters(trial):
                self._given.add(trial.number)
            if self._spec.objective is not None:
                self._known[trial.number] = trial
            if trial.state is TrialState.RUNNING and trial.number in self._running_here:
                if trial.number not in self._sampler_view.mirror:
                    self._sampler_view.show(trial)
                continue
            self._running_here.discard(trial.number)
            self._outranked.pop(trial.number, None)
            self._sampler_view.show(trial)
            self._pruner_view.show(trial)

    def suggest(self, number: int, fixed: Mapping[str, ParameterValue] = _NOTHING) -> Suggestion:
        """Choose the parameters of trial `number`, which is running afterwards.

        Values of `fixed` inside the search space are used unchanged, the rest is sampled.
        """
        self._running_here.add(number)
        if fixed:
            self._given.add(number)
        self._outranked.pop(number, None)
        self._pruner_view.begin(number)
        self._sampler_view.update_dead_values()
        self._sampler_view.ask(number, fixed)
        self._sampler_study.ask(self._space)
        params = dict(self._sampler_view.mirror.get_trial(number).params)
        for dimension in self._conditional:
            if applies(dimension, params):
                params[dimension.name] = self.suggest_one(number, dimension, fixed)
        return Suggestion(params=params, system_attributes=self.take_attributes(number))

    def suggest_one(
        self, number: int, dimension: Dimension, fixed: Mapping[str, ParameterValue] = _NOTHING
    ) -> ParameterValue:
        """Choose a parameter that not every trial has: a conditional one, or one that trial `number` asks for.

        Its value in `fixed` is used unchanged if the dimension allows it.
        """
        distribution = distribution_of(dimension)
        if inside := values_inside({dimension.name: distribution}, fixed):
            return inside[dimension.name]
        if distribution.single():
            return dimension.choices[0] if isinstance(dimension, Choices) else _plain(dimension)
        view = self._sampler_view
        if view.optional.get(dimension.name) != distribution:
            view.optional[dimension.name] = distribution
            for trial in self._known.values():
                if trial.number not in self._running_here:
                    view.show(trial)
        running = FrozenTrial(
            number=number,
            trial_id=number,
            state=OptunaState.RUNNING,
            value=None,
            datetime_start=None,
            datetime_complete=None,
            params={},
            distributions={},
            user_attrs={},
            system_attrs={},
            intermediate_values={},
        )
        value = sample_alone(self._spec, view.mirror, running, dimension.name, distribution)
        chosen: ParameterValue = distribution.to_external_repr(distribution.to_internal_repr(value))
        return chosen

    def report(self, number: int, epoch: int, value: float) -> None:
        """Report the metric of trial `number` after `epoch` (from 0) to the pruner, NaN and infinity included."""
        self._running_here.add(number)
        self._outranked.pop(number, None)
        self._pruner_view.report(number, epoch, value)

    def report_again(self, number: int, values: Sequence[float]) -> None:
        """Report the metric of trial `number` after each epoch of an earlier attempt, with which it goes on.

        The pruner runs after each report, so that the trial completes the same rungs of asha and hyperband as before.
        Otherwise it would complete them all with its next value, which others would be compared with after one epoch.
        """
        for epoch, value in enumerate(values):
            self.report(number, epoch, value)
            self.is_outranked(number)
        self._outranked.pop(number, None)

    def is_outranked(self, number: int) -> bool:
        """Return the pruner's verdict on the running trial `number` after its last report.

        The pruner runs once per report: on a second call asha and hyperband would pass a trial that they stopped.
        Raises KeyError for a trial that was neither suggested, reported nor learned.
        """
        if number not in self._outranked:
            trial = self._pruner_view.mirror.get_trial(number)
            with warnings.catch_warnings():
                # Curves that are NaN throughout have rules in Optuna, and warnings from NumPy.
                warnings.simplefilter("ignore", RuntimeWarning)
                self._outranked[number] = bool(self._pruner.prune(self._pruner_study, trial))
        return self._outranked[number]

    def take_attributes(self, number: int) -> Mapping[str, Any]:
        """Return the system attributes that sampler and pruner left on a trial since the last call.

        Store them with the trial: asha and hyperband keep their rungs in them, cmaes its state, and other Searchers
        `learn` them from there.
        """
        written = self._sampler_view.mirror.take_written(number) | self._pruner_view.mirror.take_written(
            number
        )
        kept = {key: value for key, value in written.items() if not key.startswith(_ALREADY_KEPT)}
        return without_pickles(kept)


def _plain(dimension: Range) -> float | int:
    """Return the only value of a range."""
    return int(dimension.low) if dimension.integer else dimension.low


def has_given_parameters(trial: Trial) -> bool:
    """Return True for a trial whose parameters the study's sampler did not choose: enqueued, or of another client."""
    is_foreign = trial.worker is None and trial.state is not TrialState.WAITING
    return bool(trial.system_attributes.get(FIXED)) or is_foreign


def _direction(spec: StudySpec) -> StudyDirection:
    if spec.metric == "auto":
        raise ValueError(f"metric: must be resolved before a search (got {spec.metric!r})")
    return StudyDirection.MAXIMIZE if spec.maximize else StudyDirection.MINIMIZE


def make_pruner(spec: StudySpec) -> BasePruner:
    """Return the pruner of a study; `pruning.rank` "auto" is resolved.

    Its resource is a trial's age in epochs, so it must receive the value after epoch e (from 0) at step e + 1. Optuna's
    docstring of `report` asks for steps from 0, but only ages make asha's rungs w, w r, w r^2, ... epochs with
    w = `warmup_epochs`, and hyperband's 1, r, r^2, ..., as in their papers (Li et al. 2020, arXiv:1810.05934; Li et al.
    2018, JMLR 18:185), and let median and percentile act as soon as a trial is `warmup_epochs` old.
    """
    pruning = with_rank(spec).pruning
    match known_rank(spec):
        case "none":
            return NopPruner()
        case "median":
            return MedianPruner(pruning.startup_trials, pruning.warmup_epochs)
        case "percentile":
            return PercentilePruner(pruning.percentile, pruning.startup_trials, pruning.warmup_epochs)
        case "asha":
            return SuccessiveHalvingPruner(
                min_resource=max(1, pruning.warmup_epochs), reduction_factor=pruning.reduction_factor
            )
        case "hyperband":
            return HyperbandPruner(
                min_resource=1, max_resource=epoch_span(spec).most, reduction_factor=pruning.reduction_factor
            )
