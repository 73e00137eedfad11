"""Optuna's pruners on the curves of the corpus: they rank, so all they can say is that a run is not worth its time.

Source: Optuna's own classes, with their defaults: `MedianPruner` and `PercentilePruner(25)` (five startup trials; here
one epoch of warmup), `ThresholdPruner` with the limit of a network that has learned nothing after one epoch, and
`HyperbandPruner` (reduction factor 3). Curves are validation accuracies, in regression validation losses.

The study of a run are the runs of its base. Median, percentile and threshold judge each run against all others, which
are complete. Hyperband needs the rungs that others have passed, so it sees the runs of a base one after another in an
order that the seeds draw, as a search would. Epochs behind a run's first NaN report NaN.

They name no cause: their calls are `outranked`, which counts as wrong if a cause is asked for.
"""

import math
import random
import warnings
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast, final

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, PercentilePruner, ThresholdPruner
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpsearch.diagnosis.facts import TrialFacts
from hpsearch.verdicts import Cause
from tests.benchmarks.diagnosis.detectors import SILENCE, Call
from tests.benchmarks.diagnosis.runs import Run

WARMUP_EPOCHS = 1
KEPT_PERCENT = 25.0
ORDER_SEED = 20170523


@final
class Pruner:
    """One of Optuna's pruners, which has been shown all runs in advance."""

    def __init__(self, name: str, calls: Mapping[int, int | None], runs: Sequence[Run]) -> None:
        """Take for each of `runs`, by its place, the epoch (from 0) after which it is stopped, or None."""
        self.name = name
        self.names_causes = False
        self._stops = {id(run): calls[place] for place, run in enumerate(runs)}
        self._process_exists = runs  # keeps the identities from being used again

    def call(self, run: Run) -> Call:
        """Say that the run is outranked where the pruner stops it. KeyError for a run that was not shown."""
        epoch = self._stops[id(run)]
        if epoch is None:
            return SILENCE
        return Call(causes=(Cause.OUTRANKED,), step=(epoch + 1) * run.facts.steps_per_epoch)


def pruners(runs: Sequence[Run]) -> list[Pruner]:
    """Return Optuna's four pruners after they have judged `runs`."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # all-NaN columns, and experimental classes
        return [
            Pruner("Optuna median", _against_others(runs, lambda _: MedianPruner(5, WARMUP_EPOCHS)), runs),
            Pruner(
                "Optuna percentile",
                _against_others(runs, lambda _: PercentilePruner(KEPT_PERCENT, 5, WARMUP_EPOCHS)),
                runs,
            ),
            Pruner("Optuna threshold", _against_others(runs, _threshold), runs),
            Pruner("Optuna hyperband", _one_by_one(runs), runs),
        ]


def _threshold(facts: TrialFacts) -> ThresholdPruner:
    """Return the pruner that stops whatever is no better than a network that has learned nothing."""
    if facts.is_classification:
        return ThresholdPruner(lower=facts.data.majority_share, n_warmup_steps=WARMUP_EPOCHS)
    return ThresholdPruner(upper=facts.data.target_variance, n_warmup_steps=WARMUP_EPOCHS)


def curve(run: Run) -> list[float]:
    """Return what a study would hear of the run, epoch by epoch; NaN from its first NaN on."""
    values = []
    for epoch in run.telemetry.epochs:
        own = epoch.validation_accuracy
        values.append(epoch.validation_loss if own is None else own)
    nonfinite = run.telemetry.nonfinite
    if nonfinite is not None:
        values = values[: nonfinite.step // run.facts.steps_per_epoch]
        values += [math.nan] * (run.facts.configuration.training.epochs - len(values))
    return values


def _direction(run: Run) -> StudyDirection:
    return StudyDirection.MAXIMIZE if run.facts.is_classification else StudyDirection.MINIMIZE


def _by_base(runs: Sequence[Run]) -> Iterable[list[int]]:
    """Return the places of the runs of each base."""
    places: dict[str, list[int]] = {}
    for place, run in enumerate(runs):
        places.setdefault(run.base, []).append(place)
    return places.values()


def _frozen(values: Sequence[float], state: TrialState) -> FrozenTrial:
    """Return a trial that has reported `values`; the age in epochs is its step, as in our searches."""
    value = values[-1] if state is TrialState.COMPLETE else None
    return create_trial(state=state, value=value, intermediate_values=dict(enumerate(values, start=1)))


def _against_others(
    runs: Sequence[Run], pruner_for: Callable[[TrialFacts], BasePruner]
) -> dict[int, int | None]:
    """Return where a pruner stops each run when all others of its base are complete."""
    stops: dict[int, int | None] = {}
    for places in _by_base(runs):
        curves = {place: curve(runs[place]) for place in places}
        complete = {
            place: _frozen(values, TrialState.COMPLETE)
            for place, values in curves.items()
            if values and math.isfinite(values[-1])
        }
        for place in places:
            others = [trial for other, trial in complete.items() if other != place]
            rivals = Rivals(direction=_direction(runs[place]), complete=others)
            stops[place] = _first_stop(pruner_for(runs[place].facts), rivals, curves[place])
    return stops


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Rivals:
    """A study as median, percentile and threshold see it: which way is better, and its complete trials."""

    direction: StudyDirection
    complete: list[FrozenTrial]

    def get_trials(self, *, deepcopy: bool, states: Container[TrialState]) -> list[FrozenTrial]:
        """Return the complete trials themselves, the only ones that are asked for."""
        return self.complete


def _first_stop(pruner: BasePruner, rivals: Rivals, values: Sequence[float]) -> int | None:
    study = cast("Study", rivals)
    for epoch in range(len(values)):
        if pruner.prune(study, _frozen(values[: epoch + 1], TrialState.RUNNING)):
            return epoch
    return None


def _one_by_one(runs: Sequence[Run]) -> dict[int, int | None]:
    """Return where Hyperband stops each run in a study that tries the runs of a base in a drawn order."""
    stops: dict[int, int | None] = {}
    for places in _by_base(runs):
        epochs = max(run.facts.configuration.training.epochs for run in map(runs.__getitem__, places))
        study = optuna.create_study(
            study_name=runs[places[0]].base,
            direction=_direction(runs[places[0]]),
            pruner=HyperbandPruner(min_resource=1, max_resource=epochs),
        )
        for place in random.Random(ORDER_SEED).sample(places, len(places)):
            stops[place] = _tried(study, curve(runs[place]))
    return stops


def _tried(study: Study, values: Sequence[float]) -> int | None:
    """Report `values` to a new trial until it is pruned; return the epoch of that."""
    trial = study.ask()
    for epoch, value in enumerate(values):
        trial.report(value, epoch + 1)
        if trial.should_prune():
            study.tell(trial, state=TrialState.PRUNED)
            return epoch
    is_complete = bool(values) and math.isfinite(values[-1])
    study.tell(trial, values[-1] if is_complete else None, state=None if is_complete else TrialState.FAIL)
    return None
