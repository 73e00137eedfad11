"""Verdicts on small minibatches: `python -m tests.benchmarks.diagnosis.minibatches [--held-out] [--seed N]`.

Each plan is a small search: one data set, network, optimizer and minibatch size, with 16 random learning rates and
weight decays. Every trial is trained to its end, without rank and without diagnosis. A trial that diagnosis stops would
have had the same telemetry up to that step (law 1), so the run to the end is its undisturbed twin: the table counts
what would have become of it, and assumes nothing.
"""

import argparse
import math
import sys
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Final, final

import numpy as np

from hpsearch.data.description import facts_of
from hpsearch.data.prepare import PreparedData
from hpsearch.diagnosis.facts import TrialFacts
from hpsearch.diagnosis.verdicts import fatal_finding, judge
from hpsearch.study.spec import (
    DEFAULT_FATAL,
    Activation,
    Configuration,
    Loss,
    ModelSpec,
    OptimizerName,
    TrainingSpec,
)
from hpsearch.telemetry import Telemetry
from hpsearch.training.cohort import Cohort
from hpsearch.training.loop import train_to_end
from hpsearch.training.row import Observation, shape_of
from hpsearch.verdicts import Cause
from tests.benchmarks.diagnosis.bases import INITIALIZERS
from tests.benchmarks.diagnosis.data_sets import prepared
from tests.benchmarks.diagnosis.detectors import NO_ALARM
from tests.benchmarks.diagnosis.runs import Run, moments
from tests.benchmarks.diagnosis.scoring import Share
from tests.benchmarks.diagnosis.traces import load, save

SEED: Final = 20171101
TRIALS: Final = 16
BATCH_SIZES: Final = (1, 2, 4, 8, 16, 32)
MOST_STEPS: Final = 3000
MOST_EPOCHS: Final = 30
LEARNING_RATES: Final = {"sgd": (1e-4, 1.0), "momentum": (1e-5, 0.3), "adam": (1e-5, 0.1)}
"""The range of learning rates by optimizer: a few decades on both sides of its usual ones."""

DECAYS: Final = (1e-6, 1e-2)
DECAYED_SHARE: Final = 0.5
"""Half of the trials have weight decay, from this range."""

GOOD: Final = 0.9
POOR: Final = 0.5
LEARNABLE: Final = 0.2
EXPLODED: Final = 2.0
"""A trial is good if it gains this share of its plan's best over chance, poor below the second share.

The trials of a plan whose best gains less than the third are neither: nothing was there to be learned.
"""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """One search: what it trains, apart from the learning rate and the weight decay."""

    data: str
    hidden: tuple[int, ...]
    activation: Activation
    optimizer: OptimizerName
    batch_size: int

    @property
    def name(self) -> str:
        """Everything that distinguishes this plan from the others."""
        widths = "-".join(map(str, self.hidden))
        return f"{self.data}/{widths}/{self.activation}-{self.optimizer}-{self.batch_size}"


TUNING: Final[Sequence[tuple[str, tuple[int, ...], Activation]]] = (
    ("digits", (32,), "relu"),
    ("wine", (16,), "relu"),
    ("moons", (16, 8), "tanh"),
    ("noisy_moons", (24,), "relu"),
    ("imbalance", (16,), "relu"),
    ("rare", (16, 8), "relu"),
    ("teacher", (24,), "relu"),
    ("noisy_teacher", (16,), "sigmoid"),
    ("switches", (8,), "relu"),
    ("passengers", (16, 8), "relu"),
    ("digits", (24, 24), "tanh"),
    ("wine", (6, 6), "relu"),
)
HELD_OUT: Final[Sequence[tuple[str, tuple[int, ...], Activation]]] = (
    ("iris", (12,), "relu"),
    ("breast_cancer", (20, 10), "relu"),
    ("diabetes_scaled", (20,), "relu"),
    ("circles", (24,), "tanh"),
    ("noisy", (20,), "relu"),
    ("rare_shell", (20,), "sigmoid"),
    ("teacher_classes", (40,), "relu"),
    ("votes", (10,), "relu"),
    ("iris", (6, 6), "relu"),
    ("breast_cancer", (16,), "sigmoid"),
)
"""Data, hidden layers and activation; thresholds are tuned on the first, and scored on the second."""

UNSCALED: Final = frozenset({"switches", "passengers", "votes"})
"""Zeros and ones, which remain so."""

_OPTIMIZERS: Final[Sequence[OptimizerName]] = ("adam", "sgd", "momentum")


def plans(*, is_held_out: bool) -> list[Plan]:
    """Return the plans: every data set with every minibatch size, the optimizers in turn."""
    return [
        Plan(
            data=data,
            hidden=hidden,
            activation=activation,
            optimizer=_OPTIMIZERS[(place + turn) % len(_OPTIMIZERS)],
            batch_size=batch_size,
        )
        for place, (data, hidden, activation) in enumerate(HELD_OUT if is_held_out else TUNING)
        for turn, batch_size in enumerate(BATCH_SIZES)
    ]


def runs_of(plan: Plan, *, seed: int, is_held_out: bool) -> list[Run]:
    """Return the trials of a plan, trained to their ends."""
    data = prepared(plan.data, "none" if plan.data in UNSCALED else "standard", seed)
    configurations = dict(enumerate(_configurations(plan, data, seed)))
    cohort = Cohort(shape_of(configurations[0]), data, capacity=TRIALS, seed=seed)
    ends = train_to_end(cohort, configurations)
    return [
        _run(plan, data, configurations[end.number], end, is_held_out=is_held_out)
        for end in sorted(ends, key=lambda end: end.number)
    ]


def _copy(telemetry: Telemetry) -> Telemetry:
    return replace(telemetry, samples=list(telemetry.samples), epochs=list(telemetry.epochs))


def _configurations(plan: Plan, data: PreparedData, seed: int) -> Iterator[Configuration]:
    generator = np.random.default_rng([seed, zlib.crc32(plan.name.encode())])
    steps = -(-len(data.training.inputs) // plan.batch_size)
    low, high = LEARNING_RATES[plan.optimizer]
    loss: Loss = "cross_entropy" if data.task == "classification" else "mse"
    model = ModelSpec(hidden=plan.hidden, activation=plan.activation, loss=loss)
    if plan.activation in INITIALIZERS:
        model = replace(model, initializer=INITIALIZERS[plan.activation])
    for _ in range(TRIALS):
        rate, decay = _log_uniform(generator, low, high), _log_uniform(generator, *DECAYS)
        training = TrainingSpec(
            epochs=max(2, min(MOST_EPOCHS, MOST_STEPS // steps)),
            batch_size=plan.batch_size,
            optimizer=plan.optimizer,
            learning_rate=rate,
            weight_decay=decay if generator.random() < DECAYED_SHARE else 0.0,
        )
        yield Configuration(model=model, training=training)


def _log_uniform(generator: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(generator.uniform(math.log(low), math.log(high))))


def _run(
    plan: Plan,
    data: PreparedData,
    configuration: Configuration,
    end: Observation,
    *,
    is_held_out: bool,
) -> Run:
    return Run(
        base=plan.name,
        injection="none",
        severity=configuration.training.learning_rate,
        seed=end.number,
        family=plan.data,
        is_held_out=is_held_out,
        is_hard=False,
        labels=(Cause.HEALTHY,),
        zero_column_share=0.0,
        facts=TrialFacts(
            configuration=configuration,
            data=facts_of(data),
            steps_per_epoch=-(-len(data.training.inputs) // plan.batch_size),
        ),
        telemetry=_copy(end.telemetry),
    )


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """What diagnosis says of one trial, and how it ended in truth.

    `stopped` is the cause that would have stopped it, or None; `said` the verdict of the undisturbed run. `gain` is
    the lead over chance in validation at its end: 0 nothing, 1 everything.
    """

    run: Run
    stopped: Cause | None
    step: int
    said: Cause
    gain: float
    best: float
    survivors: float

    @property
    def is_good(self) -> bool:
        """Return True if the trial ended near its plan's best, and not with a loss far above chance's."""
        return self.best >= LEARNABLE and self.gain >= GOOD * self.best and not self.has_exploded

    @property
    def has_exploded(self) -> bool:
        """Return True if the validation loss is above twice chance's: answers of a broken network may be right."""
        return self.run.telemetry.epochs[-1].validation_loss > EXPLODED * self.run.facts.chance_loss

    @property
    def is_poor(self) -> bool:
        """Return True if the trial ended far from its plan's best."""
        return self.best >= LEARNABLE and self.gain < POOR * self.best

    @property
    def is_stopped_above_half(self) -> bool:
        """Return True if it was stopped, and its twin ends above the median of those that were not."""
        is_better = self.best >= LEARNABLE and self.gain > self.survivors and not self.has_exploded
        return self.stopped is not None and is_better

    @property
    def is_accused(self) -> bool:
        """Return True if the verdict is one of the ill ones."""
        return self.said not in NO_ALARM or self.stopped is not None


def by_plan(runs: Sequence[Run]) -> list[list[Run]]:
    """Return the runs of each plan."""
    plans_of: dict[str, list[Run]] = {}
    for run in runs:
        plans_of.setdefault(run.base, []).append(run)
    return list(plans_of.values())


def judged(runs: Sequence[Run]) -> list[Judgement]:
    """Return the judgement of every run of one plan."""
    found = [_stopped(run) for run in runs]
    gains = [gain_of(run) for run in runs]
    best = max(gains)
    left = [gain for gain, (cause, _) in zip(gains, found, strict=True) if cause is None]
    return [
        Judgement(
            run=run,
            stopped=cause,
            step=step,
            said=judge(run.telemetry, run.facts).cause,
            gain=gain,
            best=best,
            survivors=median(left) if left else -math.inf,
        )
        for run, (cause, step), gain in zip(runs, found, gains, strict=True)
    ]


def _stopped(run: Run) -> tuple[Cause | None, int]:
    """Return the cause that would have stopped the run, or None, and the step."""
    for known in moments(run, steps_per_epoch=run.facts.steps_per_epoch):
        if (finding := fatal_finding(known, run.facts, frozenset(DEFAULT_FATAL))) is not None:
            return finding.cause, known.steps
    return None, run.telemetry.steps


def gain_of(run: Run) -> float:
    """Return the lead over chance at the end of a run: in accuracy, or the share of the variance explained.

    -1 if it is not finite, or less than that.
    """
    last, data = run.telemetry.epochs[-1], run.facts.data
    if run.telemetry.nonfinite is not None or not math.isfinite(last.validation_loss):
        return -1.0
    if last.validation_accuracy is None:
        return max(-1.0, 1 - last.validation_loss / data.target_variance)
    majority = max(data.validation_shares)
    return (last.validation_accuracy - majority) / (1 - majority)


def lines(judgements: Sequence[Judgement]) -> Iterator[str]:
    """Yield the table by minibatch size, its totals, and the causes behind what went wrong."""
    yield (
        "| minibatch | trials | good | stopped | of them good | above the survivors' median | good but accused "
        "| poor | of them called ill |"
    )
    yield "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for size in BATCH_SIZES:
        own = [one for one in judgements if one.run.facts.configuration.training.batch_size == size]
        yield _line(str(size), own)
    yield _line("all", judgements)
    yield ""
    stopped = Counter(str(one.stopped) for one in judgements if one.stopped and one.is_good)
    above = Counter(str(one.stopped) for one in judgements if one.is_stopped_above_half)
    accused = Counter(str(one.said) for one in judgements if one.is_good and one.said not in NO_ALARM)
    yield f"- good trials stopped as: {_counts(stopped)}"
    yield f"- trials stopped above the survivors' median as: {_counts(above)}"
    yield f"- good trials called: {_counts(accused)}"


def _line(name: str, own: Sequence[Judgement]) -> str:
    good = [one for one in own if one.is_good]
    stopped = [one for one in own if one.stopped is not None]
    poor = [one for one in own if one.is_poor]
    accused = Share(hits=sum(one.is_accused for one in good), total=len(good))
    cells = (
        name,
        len(own),
        len(good),
        len(stopped),
        sum(one.is_good for one in stopped),
        sum(one.is_stopped_above_half for one in stopped),
        f"{accused.hits} ({accused.value:.0%})" if good else "",
        len(poor),
        sum(one.is_accused for one in poor),
    )
    return f"| {' | '.join(map(str, cells))} |"


def _counts(causes: Counter[str]) -> str:
    return ", ".join(f"{cause} {count}" for cause, count in causes.most_common()) or "none"


def main() -> None:
    """Train the plans, or read them from a file, and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.diagnosis.minibatches", description=__doc__
    )
    parser.add_argument("--held-out", action="store_true", help="score the data that nothing is tuned on")
    parser.add_argument("--seed", type=int, default=SEED, help="the seed of splits, weights and rates")
    parser.add_argument(
        "--file", type=Path, help="read the runs from this file, or write them if it is missing"
    )
    parser.add_argument("--list", action="store_true", help="list the trials that were judged wrongly")
    arguments = parser.parse_args()
    file: Path | None = arguments.file
    if file is not None and file.is_file():
        runs = load(file)
    else:
        runs = []
        for plan in plans(is_held_out=arguments.held_out):
            runs += runs_of(plan, seed=arguments.seed, is_held_out=arguments.held_out)
            sys.stderr.write(f"{plan.name}: {len(runs)} runs\n")
        if file is not None:
            save(runs, file)
    judgements = [one for members in by_plan(runs) for one in judged(members)]
    for line in lines(judgements):
        sys.stdout.write(f"{line}\n")
    for one in judgements if arguments.list else ():
        if (one.is_good and one.is_accused) or one.is_stopped_above_half:
            sys.stdout.write(
                f"{one.run.base} trial {one.run.seed}: lr {one.run.severity:.3g}, "
                f"weight decay {one.run.facts.configuration.training.weight_decay:.3g}, "
                f"stopped {one.stopped} at {one.step} of {one.run.facts.steps}, said {one.said}, "
                f"gain {one.gain:.3f} (best {one.best:.3f})\n"
            )


if __name__ == "__main__":
    main()
