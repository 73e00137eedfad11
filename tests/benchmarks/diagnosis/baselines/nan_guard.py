"""A NaN guard: what most people have.

Source: Keras, `TerminateOnNaN`, and the bound of 1,000 on the loss above which Bjorck et al. 2018, "Understanding
Batch Normalization" (section 3) call a run diverged. Every non-finite or huge loss is laid to the learning rate.

Not expressible: a huge loss between two looks. It shows at the next look, or in the epoch's mean.
"""

import math
from collections.abc import Iterator
from typing import Final

from hpsearch.verdicts import Cause
from tests.benchmarks.diagnosis.baselines.statistics import steps_after
from tests.benchmarks.diagnosis.detectors import Alarm, FirstAlarm
from tests.benchmarks.diagnosis.runs import Run

HUGE_LOSS = 1e3


def _alarms(run: Run) -> Iterator[Alarm]:
    telemetry = run.telemetry
    if telemetry.nonfinite is not None:
        yield Alarm(step=telemetry.nonfinite.step + 1, cause=Cause.DIVERGED_LR)
    for sample in telemetry.samples:
        if _is_bad(sample.loss):
            yield Alarm(step=sample.step + 1, cause=Cause.DIVERGED_LR)
    for epoch in telemetry.epochs:
        if _is_bad(epoch.training_loss):
            yield Alarm(step=steps_after(run, epoch), cause=Cause.DIVERGED_LR)


def _is_bad(loss: float) -> bool:
    return not math.isfinite(loss) or loss > HUGE_LOSS


NAN_GUARD: Final = FirstAlarm(name="NaN guard", alarms=_alarms)
