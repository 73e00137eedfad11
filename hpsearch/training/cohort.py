"""Cohorts: trials that are trained in lockstep, as stacked arrays, each as if it were alone (law 1)."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol, final

import numpy as np

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
    """An observer of every step of a cohort's lanes. It reads the given arrays and changes none of them."""

    def after_forward(self, lane: Lane) -> None:
        """Observe the forward pass before the loss overwrites the logits: activations are as computed."""

    def after_backward(self, lane: Lane, losses: Array, scale: Array) -> None:
        """Observe the backward pass before the optimizer overwrites the gradients.

        `losses` (k,) are the minibatch means, float64; `scale` (k, 1, 1) is the factor of each example's gradient.
        """


@final
class Cohort:
    """Up to `capacity` trials of one shape on one data set. Rows join and leave between any two steps.

    Active rows are always the first ones: the last row fills a row that leaves, so that every array operation runs over
    a contiguous part of one preallocated array. Rows need not be of one age. In each step they are cut into lanes:
    neighbouring rows whose minibatches are equally large. Every epoch measures the `metric` of the study next to loss
    and accuracy. An `observer` receives every lane's steps.
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
        self._orders = EpochOrders(seed, len(self._training))
        self._optimizer = OPTIMIZERS[shape.training.optimizer]
        dtype = np.float32 if shape.training.precision == "float32" else np.float64
        self._state = allocate_state(self.network, rows=capacity, states=self._optimizer.states, dtype=dtype)
        self._workspace = Workspace(self.network, self._state, examples=self._batch_size, trains=True)
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
        self._noticed: set[int] = set()
        self._due: set[int] = set()
        self._chosen = np.zeros((capacity, self._batch_size), np.intp)
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
    def is_validation_due(self) -> bool:
        """True if an epoch has ended whose validation was interrupted."""
        return bool(self._due)

    def join(self, number: int, configuration: Configuration, states: Sequence[RowState] = ()) -> None:
        """Give a free row to trial `number`, with fresh weights drawn from (seed, number), or the state in `states`.

        Raises ValueError if there is no free row, the trial has a row already, or the configuration has another shape.
        """
        if not self.free:
            raise ValueError(f"trial {number}: the cohort is full (got {self.capacity} rows)")
        if number in self.numbers:
            raise ValueError(f"trial {number}: it is in this cohort already (got {self.numbers})")
        if shape_of(configuration) != self.shape:
            raise ValueError(f"trial {number}: its network or training has another shape than the cohort's")
        index = len(self._rows)
        dropout = np.random.Generator(np.random.PCG64([self._seed, DROPOUT_STREAM, number]))
        self._rows.append(Row(number=number, configuration=configuration, dropout=dropout))
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
        """Return the state with which `join` continues trial `number`; none while it has something to observe.

        An interrupted validation leaves such trials: those whose epoch it ends, and those with a sample of that step.
        """
        if number in self._due or (self._due and number in self._noticed):
            return ()
        index = self.numbers.index(number)
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
        self._due.discard(number)
        self._noticed.discard(number)
        last = self._rows.pop()
        if last.number != number:
            self._rows[index] = last
            self._state.move(len(self._rows), index)
            self._sampler.history.move(len(self._rows), index)
            self._write_hyperparameters(index)
        self._update_decay_flags()

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
                if observed or self._due:  # the remaining validation was interrupted
                    return observed
        return []

    @property
    def _needs_wide_examples(self) -> bool:
        """Return True if some minibatch is too small to be sampled on.

        Batch normalization keeps its minibatches: its running statistics describe the network only later.
        """
        sizes = {min(self._batch_size, len(self._training)), len(self._training) % self._batch_size}
        return not self.shape.model.batch_norm and 0 < min(sizes - {0}) < SMALL_MINIBATCH

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
        decays = self._hyperparameters[1, : len(self._rows)] != 0
        self._decays, self._all_decay = bool(decays.any()), bool(decays.all())

    def _is_finished(self, row: Row) -> bool:
        return len(row.epochs) >= row.configuration.training.epochs

    def _step(self, is_interrupted: Callable[[], bool] = never) -> list[Observation]:
        """Take one step with every trial, validate those that end an epoch, and return the new observations.

        An interrupted validation leaves no trace: it is repeated in place of the next step.
        """
        if not self._due:
            self._train_all()
        if self._due and not self._validate(is_interrupted):
            return []
        ended, self._due = self._due, set()
        new = ended | self._noticed
        return [
            self._observe(index, ended_epoch=row.number in ended)
            for index, row in enumerate(self._rows if new else ())
            if row.number in new
        ]

    def _train_all(self) -> None:
        """Take one step with every trial; note which have an observation, and whose epoch is due for validation."""
        noticed: list[int] = []
        for start, stop, examples in self._lanes():
            noticed += self._train(start, stop, examples)
        self._noticed = {self._rows[index].number for index in noticed}
        for row in self._rows:
            row.age += 1
            if row.age % self.steps_per_epoch == 0:
                self._due.add(row.number)
        self._ages[: len(self._rows)] += 1

    def _observe(self, index: int, *, ended_epoch: bool) -> Observation:
        row = self._rows[index]
        return Observation(
            number=row.number,
            telemetry=row.telemetry,
            ended_epoch=ended_epoch,
            is_finished=self._is_finished(row),
        )

    def _lanes(self) -> Iterator[tuple[int, int, int]]:
        """Cut the rows into lanes (start, stop, examples) of neighbours with equally large minibatches."""
        rest = len(self._training) % self._batch_size
        last = self.steps_per_epoch - 1
        short = [row.age % self.steps_per_epoch == last for row in self._rows] if rest else ()
        if not any(short):
            yield 0, len(self._rows), self._batch_size
            return
        start = 0
        for stop in range(1, len(short) + 1):
            if stop == len(short) or short[stop] != short[start]:
                yield start, stop, rest if short[start] else self._batch_size
                start = stop

    def _train(self, start: int, stop: int, examples: int) -> list[int]:
        """Take one step with the rows `start`..`stop`; return the rows with a new observation."""
        lane, weights = self._gather(start, stop, examples)
        self.network.forward(lane.parameter_views, lane.batch)
        if self._observer is not None:
            self._observer.after_forward(lane)
        pending = self._sampler.sample_forward(lane, self._rows[start:stop])

        losses = mean_losses(self.network, lane, weights)
        nonfinite = self._record_losses(lane, losses, examples)
        logits, scale = lane.batch.logits, self._scale(lane, examples)
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

    def _gather(self, start: int, stop: int, examples: int) -> tuple[Lane, Array | None]:
        """Fill the lane's minibatches: one for all rows if they are of one age, else one for each.

        The second result are the weights (k, B) or (1, B) of the examples, None if all are 1.
        """
        rows = self._rows[start:stop]
        is_shared = all(row.age == rows[0].age for row in rows)
        lane = self._workspace.lane(start, stop, examples, shared_inputs=is_shared)
        chosen = self._chosen[: 1 if is_shared else len(rows), :examples]
        for target, row in zip(chosen, rows, strict=False):
            epoch, step = divmod(row.age, self.steps_per_epoch)
            first = step * self._batch_size
            target[:] = self._orders.order(epoch)[first : first + examples]
        self._training.gather(chosen, lane.batch.x, lane.batch.t)
        for block in lane.batch.blocks:
            if block.mask is not None:
                is_inverted = self.shape.model.dropout_scaling == "training"
                for mask, row in zip(block.mask, rows, strict=True):
                    rate = row.configuration.model.dropout
                    draw_dropout(mask, rate, row.dropout, is_inverted=is_inverted)
        if self._class_weights is None or self._training.labels is None:
            return lane, None
        return lane, self._class_weights[self._training.labels[chosen]]

    def _scale(self, lane: Lane, examples: int) -> Array:
        """Return the factors (k, 1, 1) that turn gradients of summed losses into those that the optimizer needs."""
        scale = self._delta_scale[lane.start : lane.stop]
        scale[...] = 1 if self.shape.training.reduction == "sum" else 1 / examples
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

    def _record_losses(self, lane: Lane, means: Array, examples: int) -> list[int]:
        """Add the minibatch means (k,) to the epochs' sums; return rows whose loss is not finite for the first time."""
        nonfinite = []
        for i, (row, mean) in enumerate(zip(self._rows[lane.start : lane.stop], means.tolist(), strict=True)):
            row.loss_sum += mean * examples
            if row.nonfinite is None and not math.isfinite(mean):
                row.nonfinite = first_nonfinite(lane, i, row.age)
                nonfinite.append(lane.start + i)
        return nonfinite

    def _validate(self, is_interrupted: Callable[[], bool]) -> bool:
        """Close the epochs that are due, all or, if it is interrupted, none; return whether they were closed."""
        due = _neighbour_ranges([index for index, row in enumerate(self._rows) if row.number in self._due])
        evaluations = []
        for start, stop in due:
            evaluation = self._validation.evaluate(start, stop, is_interrupted=is_interrupted)
            if evaluation is None:
                return False
            evaluations.append(evaluation)
        for (start, stop), evaluation in zip(due, evaluations, strict=True):
            self._close_epochs(self._rows[start:stop], evaluation)
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


def _neighbour_ranges(indices: list[int]) -> list[tuple[int, int]]:
    """Cut rising `indices` into ranges (start, stop) of neighbours."""
    ranges: list[tuple[int, int]] = []
    for index in indices:
        if ranges and ranges[-1][1] == index:
            ranges[-1] = (ranges[-1][0], index + 1)
        else:
            ranges.append((index, index + 1))
    return ranges
