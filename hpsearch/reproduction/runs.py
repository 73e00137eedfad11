"""Configurations trained side by side in cohorts, with measurements of every minibatch."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, final

import numpy as np
from threadpoolctl import threadpool_limits

from hpsearch.data.prepare import PreparedData
from hpsearch.nn.arrays import Array
from hpsearch.nn.network import Network
from hpsearch.study.spec import Configuration
from hpsearch.telemetry import Epoch
from hpsearch.training.cohort import Cohort
from hpsearch.training.loop import train_to_step
from hpsearch.training.row import Shape, by_shape
from hpsearch.training.workspace import Lane, NetworkSnapshot

MOST_ROWS: Final = 20
LAST_STEPS: Final = 50
"""Number of final minibatches over which training accuracies and losses are averaged."""


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Run:
    """One trained trial: `number` of the study with that seed.

    For each of S steps, on its minibatch before the update: the mean `loss` (S,), the `accuracy` (S,), NaN in
    regression, and the shares of hidden units that were positive for no example, `silent` (S, H). `first_logits` (B, C)
    are those of step 0. `epochs` are the finished ones, `final` is the state after training.
    """

    configuration: Configuration
    number: int
    network: Network
    loss: Array
    accuracy: Array
    silent: Array
    first_logits: Array
    epochs: tuple[Epoch, ...]
    final: NetworkSnapshot

    @property
    def nan_step(self) -> int | None:
        """The first step whose loss was NaN; None if there is none. A run can recover from an infinite loss."""
        broken = np.flatnonzero(np.isnan(self.loss))
        return int(broken[0]) if len(broken) else None

    @property
    def last_accuracy(self) -> float:
        """The mean accuracy of the last minibatches."""
        return float(self.accuracy[-LAST_STEPS:].mean())

    @property
    def last_loss(self) -> float:
        """The mean loss of the last minibatches."""
        return float(self.loss[-LAST_STEPS:].mean())

    @property
    def last_silent(self) -> float:
        """The mean share of hidden units that were silent on the last minibatches, over all layers."""
        return float(self.silent[-LAST_STEPS:].mean())


def train(
    trials: Mapping[int, Configuration],
    data: PreparedData,
    *,
    seed: int,
    steps: int | None = None,
) -> dict[int, Run]:
    """Return the runs of `trials`, by their numbers, trained for `steps` or all their epochs.

    Those with one shape and equally many steps share cohorts of at most `MOST_ROWS`. Their numbers equal those of a
    worker (law 1). NaN does not end a run.
    """
    lengths: dict[int, dict[int, Configuration]] = {}
    for number, configuration in trials.items():
        length = _steps(configuration, data) if steps is None else steps
        lengths.setdefault(length, {})[number] = configuration
    found: dict[int, Run] = {}
    with threadpool_limits(limits=1):
        for length, group in lengths.items():
            for shape, chosen in by_shape(group, rows=MOST_ROWS):
                found |= _train(shape, chosen, data, seed=seed, steps=length)
    return found


def _steps(configuration: Configuration, data: PreparedData) -> int:
    training = configuration.training
    return training.epochs * -(-len(data.training.inputs) // training.batch_size)


def _train(
    shape: Shape,
    chosen: Mapping[int, Configuration],
    data: PreparedData,
    *,
    seed: int,
    steps: int,
) -> dict[int, Run]:
    watcher = _Watcher(rows=len(chosen), steps=steps)
    cohort = Cohort(shape, data, capacity=len(chosen), seed=seed, observer=watcher)
    epochs = -(-steps // cohort.steps_per_epoch)
    for number, configuration in chosen.items():
        training = replace(configuration.training, epochs=epochs)
        cohort.join(number, replace(configuration, training=training))
    train_to_step(cohort, steps)
    return {
        number: Run(
            configuration=configuration,
            number=number,
            network=cohort.network,
            loss=watcher.loss[:, row],
            accuracy=watcher.accuracy[:, row],
            silent=np.stack([layer[:, row] for layer in watcher.silent], axis=1),
            first_logits=watcher.first_logits[row],
            epochs=tuple(cohort.telemetry(number).epochs),
            final=NetworkSnapshot(
                steps=steps, parameters=cohort.parameters(number), running=cohort.running(number)
            ),
        )
        for row, (number, configuration) in enumerate(chosen.items())
    }


@final
class _Watcher:
    """Records each step of a cohort whose rows all have one age and stay to the end."""

    def __init__(self, *, rows: int, steps: int) -> None:
        self.step = 0
        self.loss = np.full((steps, rows), np.nan)
        self.accuracy = np.full((steps, rows), np.nan)
        self.silent: list[Array] = []
        self.first_logits = np.empty(0)

    def after_forward(self, lane: Lane) -> None:
        """Record the accuracies and the silent units."""
        hidden = lane.batch.blocks[:-1]
        if not self.silent:
            self.first_logits = lane.batch.logits.copy()
            self.silent = [np.full(self.loss.shape, np.nan) for _ in hidden]
        for layer, buffers in zip(self.silent, hidden, strict=True):
            layer[self.step] = 1 - (buffers.y.max(axis=1) > 0).mean(axis=1)
        logits, targets = lane.batch.logits, lane.batch.t
        self.accuracy[self.step] = (logits.argmax(axis=2) == targets.argmax(axis=2)).mean(axis=1)

    def after_backward(self, lane: Lane, losses: Array, scale: Array) -> None:
        """Record the losses, and the end of the step."""
        self.loss[self.step] = losses
        self.step += 1
