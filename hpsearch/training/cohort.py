"""Cohorts: trials that are trained in lockstep, as stacked arrays, each as if it were alone (law 1)."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, final

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.prepare import PreparedData
from hpsearch.nn.arrays import Array
from hpsearch.nn.layers import draw_dropout
from hpsearch.nn.network import build_network
from hpsearch.nn.optimizers import OPTIMIZERS, Rates, Step
from hpsearch.study.metrics import Metric
from hpsearch.study.spec import Configuration
from hpsearch.telemetry import Epoch, Telemetry
from hpsearch.training.evaluation import Validation, ValidationSums
from hpsearch.training.examples import EpochOrders, Examples, class_weights, output_count
from hpsearch.training.measurements import first_nonfinite, mean_losses
from hpsearch.training.row import DROPOUT_STREAM, WEIGHTS_STREAM, Observation, Row, RowState, Shape, shape_of
from hpsearch.training.scores import scoring_of
from hpsearch.training.telemetry_sampler import SMALL_MINIBATCH, WIDE_EXAMPLES, TelemetrySampler, WideExamples
from hpsearch.training.workspace import Lane, Workspace, allocate_state


def never() -> bool:
    """Return False always: no interruption, and no other work to yield to."""
    return False


class Observer(Protocol):
    """An observer of every step of a cohort. It reads the given arrays and changes none of them."""

    def after_forward(self, lane: Lane) -> None:
        """Observe the forward pass before the loss overwrites the logits: activations are as computed."""

    def after_backward(self, lane: Lane, losses: Array, scale: Array) -> None:
        """Observe the backward pass before the optimizer overwrites the gradients.

        `losses` (k,) are the minibatch means, float64; `scale` (k, 1, 1) is the factor of each example's gradient.
        """


@final
class Cohort:
    """Up to `capacity` trials of one shape on one data set. Rows join and leave between any two steps.

    A trial that joins waits for the start of an epoch, so that all active rows are at the same step of their epochs,
    whatever their ages, and they end their epochs together. With `training.order` "once" all share each minibatch.
    Rows are in the order in which they joined: the next ones move up if one leaves, so that every array operation runs
    over a contiguous part of one preallocated array, and rows in the same epoch, which share minibatches, are
    neighbours. Every epoch measures the `metric` of the study next to loss and accuracy. An `observer` receives every
    step.
    """

    def __init__(  # noqa: PLR0913  # all but shape and data are by keyword
        self,
        shape: Shape,
        data: PreparedData,
        *,
        capacity: int,
        seed: int,
        metric: Metric = "auto",
        observer: Observer | None = None,
    ) -> None:
        self.shape = shape
        self.capacity = capacity
        self._seed = seed
        self._observer = observer
        self._batch_size = shape.training.batch_size
        outputs = output_count(data, shape.model)
        self.network = build_network(shape.model, inputs=data.inputs, outputs=outputs)
        self._training = Examples(data.training, outputs=outputs)
        self._orders = EpochOrders(seed, len(self._training), order=shape.training.order)
        self._optimizer = OPTIMIZERS[shape.training.optimizer]
        dtype = np.float32 if shape.training.precision == "float32" else np.float64
        self._state = allocate_state(self.network, rows=capacity, states=self._optimizer.states, dtype=dtype)
        self._workspace = Workspace(
            self.network,
            self._state,
            examples=self._batch_size,
            minibatches=1 if self._orders.is_shared else capacity,
        )
        chosen = self._orders.order(0)[:WIDE_EXAMPLES] if self._needs_wide_examples else None
        validation = Examples(data.validation, outputs=outputs)
        room = 0 if chosen is None else len(chosen)
        scoring = scoring_of(data.validation, data, metric)
        self._validation = Validation(self.network, self._state, validation, room=room, scoring=scoring)
        is_weighted = shape.training.class_weight == "balanced"
        self._class_weights = class_weights(data, dtype) if is_weighted else None
        self._sampler = TelemetrySampler(
            self.network,
            self._workspace,
            activation=shape.model.activation,
            classifies=self._training.labels is not None,
            wide=None if chosen is None else WideExamples(self._training, self._validation.workspace, chosen),
        )
        self._rows: list[Row] = []
        self._active = 0
        self._noticed: set[int] = set()
        self._is_due = False
        self._hyperparameters = np.zeros((3, capacity, 1), dtype)
        self._ages = np.zeros((capacity, 1))
        self._delta_scale = np.zeros((capacity, 1, 1), dtype)
        self._decays = self._all_decay = False

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of the trials in training, in the order of their rows."""
        return tuple(row.number for row in self._rows)

    @property
    def free(self) -> int:
        """The number of trials that can still join."""
        return self.capacity - len(self._rows)

    @property
    def steps_per_epoch(self) -> int:
        """Minibatches in one pass over the training examples; the last may be smaller."""
        return -(-len(self._training) // self._batch_size)

    @property
    def age(self) -> int:
        """The number of steps of the oldest trial in training; 0 without trials."""
        return max((row.age for row in self._rows), default=0)

    @property
    def is_between_epochs(self) -> bool:
        """True if a trial that joins now trains in the next step: it need not wait for the end of an epoch."""
        return self._step_of_epoch == 0 and not self._is_due

    @property
    def is_validation_due(self) -> bool:
        """True if an epoch has ended whose validation was interrupted."""
        return self._is_due

    def join(self, number: int, configuration: Configuration, states: Sequence[RowState] = ()) -> None:
        """Give a free row to trial `number`, with fresh weights drawn from (seed, number), or the state in `states`.

        It trains from the start of the others' next epoch. Raises ValueError if there is no free row, the trial has a
        row already, or the configuration has another shape.
        """
        if not self.free:
            raise ValueError(f"trial {number}: the cohort is full (got {self.capacity} rows)")
        if number in self.numbers:
            raise ValueError(f"trial {number}: it is in this cohort already (got {self.numbers})")
        if shape_of(configuration) != self.shape:
            raise ValueError(f"trial {number}: its network or training has another shape than the cohort's")
        index = len(self._rows)
        dropout = np.random.Generator(np.random.PCG64([self._seed, DROPOUT_STREAM, number]))
        cycle = self.steps_per_epoch if self._orders.is_shared else 1
        self._rows.append(Row(number=number, configuration=configuration, dropout=dropout, cycle=cycle))
        for array in self._state.optimizer:
            array[index] = 0
        self._sampler.history.forget(index)
        weights = np.random.Generator(np.random.PCG64([self._seed, WEIGHTS_STREAM, number]))
        self.network.initialize(
            self._state.parameters[index],
            self._state.running[index],
            configuration.model.initializer,
            weights,
        )
        for state in states:
            self._rows[index].restore(state)
            for name, array in self._arrays.items():
                array[index] = state.arrays[name]
        self._write_hyperparameters(index)

    def states(self, number: int) -> tuple[RowState, ...]:
        """Return the state with which `join` continues trial `number`; none unless it is between two epochs.

        Trials join at the start of an epoch only, and an epoch has not ended while its validation is due.
        """
        index = self.numbers.index(number)
        if self._rows[index].age % self.steps_per_epoch or (self._is_due and index < self._active):
            return ()
        arrays = {name: array[index].copy() for name, array in self._arrays.items()}
        return (self._rows[index].state(arrays),)

    @property
    def _arrays(self) -> Mapping[str, Array]:
        """The arrays of K rows that steps read and write: all state except that of the rows themselves."""
        history = self._sampler.history
        return {
            "parameters": self._state.parameters,
            "running": self._state.running,
            **{f"optimizer_{i}": array for i, array in enumerate(self._state.optimizer)},
            "silence": history.silence,
            "gradient": history.gradient,
            "gradient_norm": history.gradient_norm,
        }

    def leave(self, number: int) -> None:
        """Take trial `number` out of the arrays. Raises ValueError if it is not in the cohort."""
        index = self.numbers.index(number)
        self._noticed.discard(number)
        if index < self._active:
            self._active -= 1
            self._is_due &= self._active > 0
        for place in range(index + 1, len(self._rows)):
            self._move(place, place - 1)
        self._rows.pop()
        self._update_decay_flags()

    def _move(self, source: int, target: int) -> None:
        """Put the trial in row `source` into row `target`."""
        self._rows[target] = self._rows[source]
        self._state.move(source, target)
        self._sampler.history.move(source, target)
        self._write_hyperparameters(target)

    def parameters(self, number: int) -> Array:
        """Return a copy of the parameters (P,) of trial `number`, in the network's layout."""
        copy: Array = self._state.parameters[self.numbers.index(number)].copy()
        return copy

    def running(self, number: int) -> Array:
        """Return a copy of the running statistics (S,) of trial `number`, in the network's layout."""
        copy: Array = self._state.running[self.numbers.index(number)].copy()
        return copy

    def telemetry(self, number: int) -> Telemetry:
        """Return all measurements of trial `number` so far."""
        return self._rows[self.numbers.index(number)].telemetry

    def advance(self, *, is_interrupted: Callable[[], bool] = never) -> list[Observation]:
        """Train until at least one trial has a new observation, and return all new ones.

        Returns [] without trials, and as soon as `is_interrupted`, which is called at the start of every step and every
        pass of a validation; the next call continues from there. Trials that have trained all their epochs must leave
        before the next call (ValueError).
        """
        if any(self._is_finished(row) for row in self._rows):
            raise ValueError("trials that are finished must leave the cohort before it goes on")
        with np.errstate(all="ignore"):  # diagnosis interprets NaN and infinity
            while self._rows and not is_interrupted():
                observed = self._step(is_interrupted)
                if observed or self._is_due:  # the remaining validation was interrupted
                    return observed
        return []

    @property
    def _needs_wide_examples(self) -> bool:
        """Return True if some minibatch is too small to be sampled on.

        Batch normalization keeps its minibatches: its running statistics describe the network only later.
        """
        sizes = {min(self._batch_size, len(self._training)), len(self._training) % self._batch_size}
        return not self.shape.model.batch_norm and 0 < min(sizes - {0}) < SMALL_MINIBATCH

    @property
    def _step_of_epoch(self) -> int:
        """The step of the active rows in their epochs, counted from 0."""
        return self._rows[0].age % self.steps_per_epoch if self._active else 0

    def _write_hyperparameters(self, index: int) -> None:
        """Write the hyper-parameters of the trial in row `index` to the arrays that the steps read, in place."""
        row = self._rows[index]
        training = row.configuration.training
        self._hyperparameters[:, index, 0] = (
            training.learning_rate,
            training.weight_decay,
            training.momentum,
        )
        self._ages[index] = row.age
        self._update_decay_flags()

    def _update_decay_flags(self) -> None:
        """Store whether any and whether every trial decays its weights, in the network's precision."""
        decays = self._hyperparameters[1, : self._active] != 0
        self._decays, self._all_decay = bool(decays.any()), bool(decays.all())

    def _is_finished(self, row: Row) -> bool:
        return len(row.epochs) >= row.configuration.training.epochs

    def _step(self, is_interrupted: Callable[[], bool] = never) -> list[Observation]:
        """Take one step with every active trial, validate if it ends an epoch, and return the new observations.

        An interrupted validation leaves no trace: it is repeated in place of the next step.
        """
        if not self._is_due:
            self._train_all()
        if self._is_due and not self._validate(is_interrupted):
            return []
        ended_epoch, self._is_due = self._is_due, False
        if not ended_epoch and not self._noticed:
            return []
        return [
            self._observe(row, ended_epoch=ended_epoch)
            for row in self._rows[: self._active]
            if ended_epoch or row.number in self._noticed
        ]

    def _train_all(self) -> None:
        """Take one step with every active trial; note which have an observation, and whether the epoch has ended."""
        if self._step_of_epoch == 0:
            self._active = len(self._rows)
            self._update_decay_flags()
        self._noticed = {self._rows[index].number for index in self._train()}
        for row in self._rows[: self._active]:
            row.age += 1
        self._ages[: self._active] += 1
        self._is_due = self._step_of_epoch == 0

    def _observe(self, row: Row, *, ended_epoch: bool) -> Observation:
        return Observation(
            number=row.number,
            telemetry=row.telemetry,
            ended_epoch=ended_epoch,
            is_finished=self._is_finished(row),
        )

    def _train(self) -> list[int]:
        """Take one step with the active rows; return those with a new observation."""
        lane, weights = self._gather()
        self.network.forward(lane.parameter_views, lane.batch)
        if self._observer is not None:
            self._observer.after_forward(lane)
        pending = self._sampler.sample_forward(lane, self._rows[: self._active])

        losses = mean_losses(self.network, lane, weights)
        nonfinite = self._record_losses(lane, losses)
        logits, scale = lane.batch.logits, self._scale(lane)
        self.network.loss.differentiate(logits, lane.batch.t, lane.output_scratch)
        if weights is not None:
            np.multiply(logits, weights[:, :, None], out=logits)
        np.multiply(logits, scale, out=logits)
        self.network.backward(lane.parameter_views, lane.gradient_views, lane.batch)
        if self._observer is not None:
            self._observer.after_backward(lane, losses, scale)

        backward = self._sampler.sample_backward(pending, scale)
        self._update(lane)
        return nonfinite + self._sampler.finish_samples(pending, backward, losses)

    def _gather(self) -> tuple[Lane, Array | None]:
        """Fill the minibatches of the active rows: one for each order of their epochs.

        The second result are the weights (k, B) or (1, B) of the examples, None if all are 1.
        """
        rows = self._rows[: self._active]
        first = self._step_of_epoch * self._batch_size
        orders, sizes = self._minibatches(rows)
        chosen = np.stack([order[first : first + self._batch_size] for order in orders])
        is_shared = len(orders) == 1
        sizes = () if is_shared or len(orders) == len(rows) else sizes
        lane = self._workspace.lane(0, len(rows), chosen.shape[1], shared_inputs=is_shared, sizes=sizes)
        self._training.gather(chosen, lane.batch.x, lane.batch.t, sizes=sizes)
        for block in lane.batch.blocks:
            if block.mask is not None:
                rates = np.array([row.configuration.model.dropout for row in rows])
                is_inverted = self.shape.model.dropout_scaling == "training"
                draw_dropout(block.mask, rates, [row.dropout for row in rows], is_inverted=is_inverted)
        if self._class_weights is None or self._training.labels is None:
            return lane, None
        weights: Array = self._class_weights[self._training.labels[chosen]]
        return lane, weights.repeat(sizes, axis=0) if sizes else weights

    def _minibatches(self, rows: Sequence[Row]) -> tuple[list[NDArray[np.intp]], tuple[int, ...]]:
        """Return the orders of the epochs of `rows`, and the number of rows after each other that have each.

        Rows are in the order in which they joined, so those in the same epoch are neighbours. Without a hidden layer,
        telemetry reads the inputs of each row.
        """
        if self._orders.is_shared:
            return [self._orders.order(0)], (len(rows),)
        epochs = [row.age // self.steps_per_epoch for row in rows]
        if len(self.network.blocks) == 1 and len(set(epochs)) > 1:
            return [self._orders.order(epoch) for epoch in epochs], (1,) * len(rows)
        runs = [(epoch, len(list(run))) for epoch, run in itertools.groupby(epochs)]
        return [self._orders.order(epoch) for epoch, _ in runs], tuple(size for _, size in runs)

    def _scale(self, lane: Lane) -> Array:
        """Return the factors (k, 1, 1) that turn gradients of summed losses into those that the optimizer needs."""
        scale = self._delta_scale[lane.start : lane.stop]
        scale[...] = 1 if self.shape.training.reduction == "sum" else 1 / lane.examples
        if self._optimizer.folds_learning_rate:
            np.multiply(scale[:, :, 0], self._hyperparameters[0, lane.start : lane.stop], out=scale[:, :, 0])
        return scale

    def _update(self, lane: Lane) -> None:
        """Move the lane's parameters by one step of the optimizer, in place."""
        rates = self._hyperparameters[:, lane.start : lane.stop]
        self._optimizer.update(
            Step(
                parameters=lane.parameters,
                gradient=lane.gradient,
                states=lane.optimizer,
                scratch=lane.scratch,
                decayed=self.network.weights,
            ),
            Rates(
                learning_rate=rates[0],
                weight_decay=rates[1],
                momentum=rates[2],
                age=self._ages[lane.start : lane.stop],
                decays=self._decays,
                all_decay=self._all_decay,
            ),
        )

    def _record_losses(self, lane: Lane, means: Array) -> list[int]:
        """Add the minibatch means (k,) to the epochs' sums; return rows whose loss is not finite for the first time."""
        nonfinite = []
        for i, (row, mean) in enumerate(zip(self._rows[lane.start : lane.stop], means.tolist(), strict=True)):
            row.loss_sum += mean * lane.examples
            if row.nonfinite is None and not math.isfinite(mean):
                row.nonfinite = first_nonfinite(lane, i, row.age)
                nonfinite.append(lane.start + i)
        return nonfinite

    def _validate(self, is_interrupted: Callable[[], bool]) -> bool:
        """Close the epochs of all active rows or, if it is interrupted, none; return whether they were closed."""
        evaluation = self._validation.evaluate(0, self._active, is_interrupted=is_interrupted)
        if evaluation is None:
            return False
        self._close_epochs(self._rows[: self._active], evaluation)
        return True

    def _close_epochs(self, rows: Sequence[Row], evaluation: ValidationSums) -> None:
        validation = self._validation.examples
        measured = zip(rows, evaluation.losses, evaluation.hits, evaluation.scores, strict=True)
        for row, loss, hit, scores in measured:
            row.epochs.append(
                Epoch(
                    epoch=len(row.epochs),
                    training_loss=row.loss_sum / len(self._training),
                    validation_loss=float(loss) / len(validation),
                    validation_accuracy=None if validation.labels is None else int(hit) / len(validation),
                    scores=scores,
                )
            )
            row.loss_sum = 0.0
