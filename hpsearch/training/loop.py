"""Loops over a trainer without a database: train trials to their ends, or all of them to one step."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from hpsearch.study.spec import Configuration
from hpsearch.training.cohort import Cohort, never
from hpsearch.training.row import Observation, RowState


class Trainer(Protocol):
    """A trainer of several trials at once: they join, advance together, and leave."""

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of the trials in training."""

    @property
    def is_between_epochs(self) -> bool:
        """True if a trial that joins now need not wait for the end of an epoch."""

    def join(self, number: int, configuration: Configuration, states: Sequence[RowState] = ()) -> None:
        """Begin to train trial `number`, or go on from the `states` that `states` returned."""

    def states(self, number: int) -> tuple[RowState, ...]:
        """Return the state of trial `number` in each of its trainings; none if it has to train on first."""

    def advance(self, *, is_interrupted: Callable[[], bool]) -> Sequence[Observation]:
        """Train until a trial has a new observation, and return all new ones; [] as soon as it is interrupted."""

    def leave(self, number: int) -> None:
        """End the training of trial `number`."""


def has_finished(observation: Observation) -> bool:
    """Return True if the trial has trained all its epochs."""
    return observation.is_finished


def train_to_end(
    trainer: Trainer,
    trials: Mapping[int, Configuration],
    *,
    is_over: Callable[[Observation], bool] = has_finished,
    is_interrupted: Callable[[], bool] = never,
) -> Iterator[Observation]:
    """Train `trials` together; yield the last observation of each, the first of which `is_over` is true.

    Omit trials that do not reach their end because of `is_interrupted`.
    """
    for number, configuration in trials.items():
        trainer.join(number, configuration)
    while trainer.numbers and not is_interrupted():
        for observation in trainer.advance(is_interrupted=is_interrupted):
            if is_over(observation):
                trainer.leave(observation.number)
                yield observation


def train_to_step(cohort: Cohort, steps: int, *, is_interrupted: Callable[[], bool] = never) -> None:
    """Take steps with all trials of `cohort`, which are of one age, until there are `steps`.

    Validate the epoch that ends there; the trials stay in the cohort.
    """

    def is_over() -> bool:
        return cohort.age >= steps or is_interrupted()

    while not is_over():
        cohort.advance(is_interrupted=is_over)
    # Only a validation is left, if the last step made it due and `is_over` interrupted it.
    if cohort.is_validation_due:
        cohort.advance(is_interrupted=is_interrupted)
