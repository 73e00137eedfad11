"""Trials that are trained on every fold of a study: a cohort for each fold, in lockstep by epochs."""

from collections.abc import Callable, Iterator, Sequence
from typing import final

from hpsearch.data.prepare import PreparedData
from hpsearch.study.metrics import Metric
from hpsearch.study.spec import Configuration
from hpsearch.telemetry import Epoch, Series, Telemetry, series_of
from hpsearch.training.cohort import Cohort, never
from hpsearch.training.loop import Trainer
from hpsearch.training.row import Observation, RowState, Shape


def trainer_for(
    shape: Shape, data: PreparedData, *, capacity: int, seed: int, metric: Metric = "auto"
) -> Trainer:
    """Return the trainer of up to `capacity` trials of one shape: a cohort, or one for each fold of `data`."""
    if not data.folds:
        return Cohort(shape, data, capacity=capacity, seed=seed, metric=metric)
    return FoldedCohort(shape, data.folds, capacity=capacity, seed=seed, metric=metric)


@final
class FoldedCohort:
    """Trains each trial on K folds: as a row in each of K cohorts, which take turns.

    An epoch of a trial is one pass over all folds: the cohort of the first fold trains its rows for an epoch, then that
    of the second, and so on. Trials join between these rounds, so the rows of a cohort end their epochs together, and a
    trial's steps have the same order in any company (law 1). All folds of a trial begin with the same weights, since
    these depend on seed and number alone.

    The epochs of an observation's telemetry are means over the folds, and its steps their sum; it has no samples, which
    belong to the telemetry of one fold.
    """

    def __init__(
        self,
        shape: Shape,
        folds: Sequence[PreparedData],
        *,
        capacity: int,
        seed: int,
        metric: Metric = "auto",
    ) -> None:
        self._cohorts = [Cohort(shape, data, capacity=capacity, seed=seed, metric=metric) for data in folds]
        self._joining: dict[int, tuple[Configuration, Sequence[RowState]]] = {}
        self._epochs: dict[int, list[Epoch]] = {}
        self._turn = 0
        self._unfinished: set[int] = set()

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of the trials in training."""
        return (*self._cohorts[0].numbers, *self._joining)

    @property
    def is_between_epochs(self) -> bool:
        """True if a trial that joins now need not wait for the end of a round."""
        return self._turn == 0 and not self._unfinished

    def join(self, number: int, configuration: Configuration, states: Sequence[RowState] = ()) -> None:
        """Begin to train trial `number` on every fold, or go on from `states`, at the start of the next round.

        Raises ValueError if there is no free row, or the trial has a row already.
        """
        if len(self.numbers) >= self._cohorts[0].capacity:
            raise ValueError(f"trial {number}: the cohort is full (got {len(self.numbers)} trials)")
        if number in self.numbers:
            raise ValueError(f"trial {number}: it is in this cohort already (got {self.numbers})")
        self._joining[number] = configuration, states

    def states(self, number: int) -> tuple[RowState, ...]:
        """Return the state of trial `number` on each fold after a round; none in a round."""
        if number in self._joining or self._turn != 0 or self._unfinished:
            return ()
        return tuple(state for cohort in self._cohorts for state in cohort.states(number))

    def leave(self, number: int) -> None:
        """End the training of trial `number` on every fold. Raises ValueError if it is not in training."""
        if self._joining.pop(number, None) is not None:
            return
        for cohort in self._cohorts:
            cohort.leave(number)
        del self._epochs[number]
        self._unfinished.discard(number)
        if not self._epochs:
            self._turn = 0

    def advance(self, *, is_interrupted: Callable[[], bool] = never) -> list[Observation]:
        """Train until a trial has a new observation on the present fold, and return all new ones.

        An epoch has ended if it has on the last fold. Returns [] without trials, and as soon as it is interrupted.
        """
        while self.numbers and not is_interrupted():
            if not self._unfinished:
                self._begin_turn()
            fold = self._turn
            seen = self._cohorts[fold].advance(is_interrupted=is_interrupted)
            self._unfinished -= {one.number for one in seen if one.ended_epoch}
            if not self._unfinished:
                self._turn = (fold + 1) % len(self._cohorts)
            if seen:
                return [self._observation(one, fold) for one in seen]
        return []

    def _begin_turn(self) -> None:
        """Let waiting trials join if a round begins, and begin an epoch of every row of the present fold."""
        if self._turn == 0:
            for number, (configuration, states) in self._joining.items():
                for fold, cohort in enumerate(self._cohorts):
                    cohort.join(number, configuration, states[fold : fold + 1])
                self._epochs[number] = [mean_epoch(folds) for folds in _by_epoch(states)]
            self._joining.clear()
        self._unfinished = set(self._epochs)

    def _observation(self, seen: Observation, fold: int) -> Observation:
        """Return the observation of a trial for one of a fold."""
        folds = tuple(cohort.telemetry(seen.number) for cohort in self._cohorts)
        is_last = fold == len(self._cohorts) - 1
        if seen.ended_epoch and is_last:
            self._epochs[seen.number].append(mean_epoch([one.epochs[-1] for one in folds]))
        return Observation(
            number=seen.number,
            telemetry=Telemetry(
                steps=sum(one.steps for one in folds),
                samples=(),
                epochs=self._epochs[seen.number],
                nonfinite=next((one.nonfinite for one in folds if one.nonfinite is not None), None),
            ),
            ended_epoch=seen.ended_epoch and is_last,
            is_finished=seen.is_finished and is_last,
            folds=folds,
            fold=fold,
        )


def _by_epoch(states: Sequence[RowState]) -> Iterator[tuple[Epoch, ...]]:
    """Yield the finished epochs of all folds together."""
    return zip(*(state.epochs for state in states), strict=True)


def mean_epoch(epochs: Sequence[Epoch]) -> Epoch:
    """Return the means over folds of one epoch, each fold with the same weight, as in scikit-learn."""
    accuracies = [epoch.validation_accuracy for epoch in epochs if epoch.validation_accuracy is not None]
    return Epoch(
        epoch=epochs[0].epoch,
        training_loss=_mean([epoch.training_loss for epoch in epochs]),
        validation_loss=_mean([epoch.validation_loss for epoch in epochs]),
        validation_accuracy=_mean(accuracies) if accuracies else None,
        scores={name: _mean([epoch.scores[name] for epoch in epochs]) for name in epochs[0].scores},
    )


def mean_series(folds: Sequence[Telemetry], *, steps_per_epoch: Sequence[int]) -> Series:
    """Return the means over folds of the series of the epochs that all of them have finished."""
    if len(folds) == 1:
        return series_of(folds[0], steps_per_epoch=steps_per_epoch[0])
    finished = min(len(telemetry.epochs) for telemetry in folds)
    made = [series_of(one, steps_per_epoch=steps) for one, steps in zip(folds, steps_per_epoch, strict=True)]
    return {
        name: [_mean([series[name][epoch] for series in made]) for epoch in range(finished)]
        for name in made[0]
        if all(name in series for series in made)
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
