"""Everybody who is asked about the runs of the corpus."""

from collections.abc import Sequence

from tests.benchmarks.diagnosis.baselines.autotrainer import AUTOTRAINER
from tests.benchmarks.diagnosis.baselines.bttackler import BTTackler, losses_of
from tests.benchmarks.diagnosis.baselines.constant import AlwaysHealthy, AlwaysIll, commonest_fault
from tests.benchmarks.diagnosis.baselines.deepdiagnosis import DEEPDIAGNOSIS
from tests.benchmarks.diagnosis.baselines.deeplocalize import DEEPLOCALIZE
from tests.benchmarks.diagnosis.baselines.nan_guard import NAN_GUARD
from tests.benchmarks.diagnosis.baselines.pruners import pruners
from tests.benchmarks.diagnosis.baselines.sagemaker import sagemaker
from tests.benchmarks.diagnosis.baselines.thedeepchecker import THEDEEPCHECKER
from tests.benchmarks.diagnosis.baselines.umlaut import UMLAUT
from tests.benchmarks.diagnosis.detectors import Detector
from tests.benchmarks.diagnosis.runs import Run

SAVE_INTERVAL = 500
"""How often SageMaker Debugger saves tensors by default, in steps."""


def baselines(runs: Sequence[Run]) -> list[Detector]:
    """Return all baselines for `runs`; those that search know the other runs of each base.

    What is commonest is counted over the families for tuning, if there are any.
    """
    tuning = [run for run in runs if not run.is_held_out]
    return [
        AlwaysHealthy(),
        AlwaysIll(cause=commonest_fault(tuning or runs)),
        NAN_GUARD,
        *pruners(runs),
        sagemaker(SAVE_INTERVAL),
        sagemaker(1),
        AUTOTRAINER,
        DEEPLOCALIZE,
        DEEPDIAGNOSIS,
        UMLAUT,
        THEDEEPCHECKER,
        BTTackler(losses=losses_of(runs)),
    ]
