"""DeepLocalize: means of tensors that are not finite, zero, or unchanged, watched at every minibatch.

Source: Wardat et al. 2021, "DeepLocalize: Fault Localization for Deep Neural Networks" (ICSE 2021), algorithm 1, with
N = 5 as in its callback.

A number that is not finite -> diverged_lr. A layer whose mean output is exactly 0 in half of the minibatches so far
-> dead_relu_total (a ReLU layer all of whose units are silent). A weight gradient whose mean is exactly 0 in half of
them -> dead_relu_total with ReLU, else vanishing_grad. The loss or the accuracy equal in five minibatches ("model does
not learn") -> lr_too_low.

Not expressible: mean outputs, weights and gradients that stay equal without being 0, and gradients of layer outputs.
"Five minibatches" are five that our telemetry looked at, which are farther apart.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Final

from hpsearch.verdicts import Cause
from tests.benchmarks.diagnosis.detectors import Alarm, FirstAlarm
from tests.benchmarks.diagnosis.runs import Run

BLOCK = 5
ZERO_SHARE = 0.5


def _alarms(run: Run) -> Iterator[Alarm]:
    if run.telemetry.nonfinite is not None:
        yield Alarm(step=run.telemetry.nonfinite.step + 1, cause=Cause.DIVERGED_LR)
    yield from _zero_means(run)
    yield from _unchanged(run)


def _zero_means(run: Run) -> Iterator[Alarm]:
    is_relu = run.facts.activation == "relu"
    outputs: dict[int, int] = {}
    gradients: dict[int, int] = {}
    for count, sample in enumerate(run.telemetry.samples, start=1):
        for number, layer in enumerate(sample.layers):
            outputs[number] = outputs.get(number, 0) + (is_relu and layer.dead_share == 1.0)
            gradients[number] = gradients.get(number, 0) + (layer.gradient_norm == 0.0)
        if _is_often(outputs, count):
            yield Alarm(step=sample.step + 1, cause=Cause.DEAD_RELU_TOTAL)
        if _is_often(gradients, count):
            cause = Cause.DEAD_RELU_TOTAL if is_relu else Cause.VANISHING_GRAD
            yield Alarm(step=sample.step + 1, cause=cause)


def _is_often(counts: dict[int, int], looks: int) -> bool:
    return any(zeros and zeros >= ZERO_SHARE * looks for zeros in counts.values())


def _unchanged(run: Run) -> Iterator[Alarm]:
    samples = run.telemetry.samples
    for stop in range(BLOCK, len(samples) + 1, BLOCK):
        block = samples[stop - BLOCK : stop]
        if _are_equal([s.loss for s in block]) or _are_equal([s.accuracy for s in block]):
            yield Alarm(step=block[-1].step + 1, cause=Cause.LR_TOO_LOW)


def _are_equal(numbers: Sequence[float]) -> bool:
    return not math.isnan(numbers[0]) and len(set(numbers)) == 1


DEEPLOCALIZE: Final = FirstAlarm(name="DeepLocalize", alarms=_alarms)
