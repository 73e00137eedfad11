"""One labelled run of the corpus, and what was known of it at every moment."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

from hpsearch.diagnosis.facts import TrialFacts
from hpsearch.telemetry import Telemetry
from hpsearch.verdicts import Cause


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A run whose label is what was done to a healthy base, and no detector's opinion.

    `labels` are the causes that were injected, strongest first: one, two in a double fault, or (HEALTHY,).
    `family` is data set and architecture ("digits/64"); thresholds are tuned on some families, and `is_held_out`
    says that this is none of them. `is_hard` marks healthy runs that look ill. `base` and `injection` name what was
    trained and what was done to it, `severity` how much, `seed` which draw.
    `zero_column_share` is the mean share of inputs that are 0 for all examples of a minibatch. `facts` and
    `telemetry` are what hpsearch would know. `best_learning_rate` is the best of its base on a grid, or None where
    that was not searched.
    """

    base: str
    injection: str
    severity: float
    seed: int
    family: str
    is_held_out: bool
    is_hard: bool
    labels: tuple[Cause, ...]
    zero_column_share: float
    facts: TrialFacts
    telemetry: Telemetry
    best_learning_rate: float | None = None


def moments(run: Run, *, steps_per_epoch: int) -> Iterator[Telemetry]:
    """Yield what was known after each sample and each epoch, oldest first."""
    whole = run.telemetry
    nonfinite = whole.nonfinite
    marks = {sample.step + 1 for sample in whole.samples}
    marks |= {(epoch.epoch + 1) * steps_per_epoch for epoch in whole.epochs}
    if nonfinite is not None:
        marks.add(nonfinite.step + 1)
    for steps in sorted(marks):
        yield Telemetry(
            steps=steps,
            samples=[sample for sample in whole.samples if sample.step < steps],
            epochs=[epoch for epoch in whole.epochs if (epoch.epoch + 1) * steps_per_epoch <= steps],
            nonfinite=nonfinite if nonfinite is not None and nonfinite.step < steps else None,
        )
