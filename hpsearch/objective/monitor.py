"""A monitor of a training loop in any framework: it turns the loop's numbers into telemetry.

It measures at the steps of `training.sampling_schedule` only, so that it costs next to nothing at the others.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, SupportsFloat, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hpsearch.errors import UsageError
from hpsearch.objective.outputs import Outputs, read_outputs
from hpsearch.telemetry import DataFacts, Epoch, NonFinite, Program, Sample, Telemetry
from hpsearch.training.sampling_schedule import alarm_streak, is_alarming, next_sample_step

USUAL_STEPS: Final = 10_000
"""The planned steps of a training whose length the user did not give, or ten times those made so far if that is more.

Few networks are trained for less, so a learning rate is called too low only if it is so for a long training.
"""

LEAST_AGREEMENT: Final = 0.8
"""The share of the measured steps that a loss must explain to be the loop's."""

Listener = Callable[[Telemetry], None]


@final
@dataclass(kw_only=True)
class DataEstimate:
    """Estimates about the data from the minibatches so far."""

    examples: int = 0
    class_counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    target_count: int = 0
    target_sum: float = 0.0
    target_squares: float = 0.0
    target_low: float = math.inf
    target_high: float = -math.inf
    input_largest: float = math.nan
    input_mean_square: float = math.nan
    epoch_examples: int = 0

    def add_outputs(self, outputs: Outputs) -> None:
        """Count the targets of a minibatch."""
        counts = outputs.class_counts()
        if counts.size:
            known = np.zeros(max(counts.size, self.class_counts.size), np.int64)
            known[: self.class_counts.size] += self.class_counts
            known[: counts.size] += counts
            self.class_counts = known
        elif outputs.t is not None and outputs.t.size:
            t = outputs.t
            self.target_count += t.size
            self.target_sum += float(t.sum())
            self.target_squares += float((t * t).sum())
            self.target_low = min(self.target_low, float(t.min()))
            self.target_high = max(self.target_high, float(t.max()))

    def facts(self, validation_examples: int) -> DataFacts:
        """Return the estimates; NaN for an unknown number."""
        total = int(self.class_counts.sum())
        is_known = self.target_count > 0 and not total
        mean = self.target_sum / self.target_count if is_known else math.nan
        return DataFacts(
            examples=max(1, self.epoch_examples or self.examples),
            validation_examples=validation_examples,
            class_shares=tuple((self.class_counts / total).tolist()) if total else (),
            input_largest=self.input_largest,
            input_mean_square=self.input_mean_square,
            input_nonzero_share=math.nan,
            input_is_binary=False,
            target_low=self.target_low if is_known else math.nan,
            target_high=self.target_high if is_known else math.nan,
            target_variance=self.target_squares / self.target_count - mean * mean if is_known else math.nan,
            target_mean=abs(mean),
        )


@final
class SampleRecorder:
    """The telemetry of one training loop, and the step of its next sample."""

    def __init__(self, *, steps: int | None, listener: Listener | None) -> None:
        """Plan for `steps` of the optimizer, None if unknown; call `listener` after each new sample or epoch."""
        if steps is not None and steps < 1:
            raise UsageError(f"watch: steps must be a whole number from 1 on (got {steps!r})")
        self.data = DataEstimate()
        self.age = 0
        self._steps = steps
        self._listener = listener
        self._samples: list[Sample] = []
        self._epochs: list[Epoch] = []
        self._nonfinite: NonFinite | None = None
        self._next = 0
        self._alarms = 0
        self._losses: Counter[str] = Counter()
        self._mistakes: Counter[str] = Counter()
        self._loss_sum: Any = 0.0
        self._loss_count = 0
        self._validation_examples = 0
        self._steps_per_epoch = 0

    @property
    def is_due(self) -> bool:
        """True if the present step is sampled."""
        return self._nonfinite is None and self.age >= self._next

    @property
    def is_within_epoch(self) -> bool:
        """True if a step was made since the last end of an epoch."""
        return self.age > 0 and self._loss_count > 0

    def add_loss(self, loss: Any) -> None:
        """Add the loss of a step to the epoch's mean; a tensor stays on its device."""
        self._loss_sum = self._loss_sum + loss
        self._loss_count += 1

    def add_outputs(self, outputs: Outputs) -> None:
        """Add the outputs and targets of a sampled step."""
        self.data.add_outputs(outputs)
        self._losses[outputs.loss] += 1
        self._mistakes[outputs.softmax] += 1

    def add_sample(self, sample: Sample) -> None:
        """Store the sample of the present step, and set the next one's: at once during alarms, as `Row.add_sample`."""
        self._samples.append(sample)
        self._alarms = self._alarms + 1 if is_alarming(sample) else 0
        if 0 < self._alarms < alarm_streak(max(1, sample.examples)):
            self._next = sample.step + 1
        else:
            self._alarms = 0
            self._next = next_sample_step(sample.step)

    def end_step(self, program: Callable[[], Program], *, examples: int, notifies: bool) -> None:
        """Count the present step; `examples` are those of its minibatch, 0 if unknown.

        The listener is called if the step `notifies`, or if a number of it was not finite.
        """
        breaks = self._nonfinite is not None and self._nonfinite.step == self.age
        self.age += 1
        self.data.examples += examples
        if (notifies or breaks) and self._listener is not None:
            self._listener(self.telemetry(program()))

    def break_off(self, array: str) -> None:
        """Store the first number that is not finite, in an array of the present step. No step is sampled after it."""
        if self._nonfinite is None:
            self._nonfinite = NonFinite(step=self.age, array=array)

    def end_epoch(
        self,
        program: Program,
        *,
        training_loss: SupportsFloat | None,
        validation_loss: SupportsFloat | None,
        validation_accuracy: SupportsFloat | None,
        validation_examples: int,
    ) -> None:
        """Store the end of an epoch; its training loss is the mean of its steps' unless one is given."""
        if self.age == 0:
            raise UsageError("end_epoch: must come after the first step (got no step): call step first")
        mean = float(self._loss_sum) / self._loss_count if self._loss_count else math.nan
        self._loss_sum, self._loss_count = 0.0, 0
        self._validation_examples = validation_examples
        self._steps_per_epoch = self._steps_per_epoch or self.age
        self.data.epoch_examples = self.data.epoch_examples or self.data.examples
        self._epochs.append(
            Epoch(
                epoch=len(self._epochs),
                training_loss=mean if training_loss is None else float(training_loss),
                validation_loss=math.nan if validation_loss is None else float(validation_loss),
                validation_accuracy=None if validation_accuracy is None else float(validation_accuracy),
            )
        )
        if self._listener is not None:
            self._listener(self.telemetry(program))

    def telemetry(self, program: Program) -> Telemetry:
        """Return all measurements so far, with the recorder's facts about the loop added to `program`."""
        loss = self._most_common(self._losses, "auto")
        data = self.data.facts(self._validation_examples)
        if loss == "binary_cross_entropy" and len(data.class_shares) != 2:
            loss = "auto"  # several labels for one example: their chance is unknown
        return Telemetry(
            steps=self.age,
            samples=tuple(self._samples),
            epochs=tuple(self._epochs),
            nonfinite=self._nonfinite,
            program=replace(
                program,
                data=data,
                loss=loss,
                softmax=self._most_common(self._mistakes, ""),
                batch_size=self._samples[-1].batch_examples if self._samples else 1,
                steps_planned=self._steps or max(USUAL_STEPS, 10 * self.age),
                steps_per_epoch=max(1, self._steps_per_epoch or self.age),
            ),
        )

    @staticmethod
    def _most_common(counts: Counter[str], otherwise: str) -> str:
        """Return the name that nearly all of the measured steps have."""
        if not counts:
            return otherwise
        name, count = counts.most_common(1)[0]
        return name if count >= LEAST_AGREEMENT * counts.total() else otherwise


UNKNOWN_DATA: Final = DataEstimate().facts(0)


@final
class Monitor:
    """A monitor of the numbers that a training loop gives, without a look into its network."""

    def __init__(
        self,
        *,
        learning_rate: float | None = None,
        steps: int | None = None,
        listener: Listener | None = None,
    ) -> None:
        self._recorder = SampleRecorder(steps=steps, listener=listener)
        rate = math.nan if learning_rate is None else float(learning_rate)
        self._program = Program(data=UNKNOWN_DATA, learning_rate=rate)

    @property
    def telemetry(self) -> Telemetry:
        """All measurements so far."""
        return self._recorder.telemetry(self._program)

    @property
    def notes(self) -> Sequence[str]:
        """The blind spots of the monitor, in sentences."""
        return ("No PyTorch model is watched: layers, gradients and steps are not measured.",)

    def step(
        self,
        loss: SupportsFloat,
        *,
        outputs: ArrayLike | None = None,
        targets: ArrayLike | None = None,
        accuracy: SupportsFloat | None = None,
    ) -> None:
        """Measure one step, after the optimizer made it; see `hpsearch.watch`."""
        recorder, number = self._recorder, float(loss)
        recorder.add_loss(number)
        is_due = recorder.is_due
        examples = len(np.asarray(outputs)) if outputs is not None and np.ndim(outputs) else 0
        if not math.isfinite(number):
            recorder.break_off("loss")
        elif is_due:
            read = None if outputs is None else read_outputs(outputs, targets, number)
            if read is not None:
                recorder.add_outputs(read)
            recorder.add_sample(plain_sample(recorder.age, number, read, accuracy))
        recorder.end_step(lambda: self._program, examples=examples, notifies=is_due)

    def end_epoch(
        self,
        *,
        training_loss: SupportsFloat | None = None,
        validation_loss: SupportsFloat | None = None,
        validation_accuracy: SupportsFloat | None = None,
        validation_examples: int = 0,
    ) -> None:
        """Store the end of an epoch; see `hpsearch.watch`."""
        self._recorder.end_epoch(
            self._program,
            training_loss=training_loss,
            validation_loss=validation_loss,
            validation_accuracy=validation_accuracy,
            validation_examples=validation_examples,
        )

    def close(self) -> None:
        """Do nothing: there is nothing to remove."""


def plain_sample(step: int, loss: float, outputs: Outputs | None, accuracy: SupportsFloat | None) -> Sample:
    """Return the sample of a step of which only the loss and the outputs are known."""
    right, top = (math.nan, math.nan) if outputs is None else outputs.answers()
    return Sample(
        step=step,
        loss=loss,
        logit_max=math.nan if outputs is None else outputs.logit_max,
        predicted_decrease=math.nan,
        layers=(),
        accuracy=right if accuracy is None else float(accuracy),
        top_share=top,
        output_range=math.nan if outputs is None else outputs.range,
        examples=0 if outputs is None else outputs.examples,
        batch_examples=0 if outputs is None else outputs.examples,
    )
