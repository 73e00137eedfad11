"""Does one order of the examples for all epochs cost accuracy? `python -m tests.benchmarks.orders`."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Final, final

import numpy as np

from hpsearch.analysis.intervals import mean_interval
from hpsearch.data.prepare import DataPart, PreparedData
from hpsearch.study.spec import Configuration, Loss, ModelSpec, OptimizerName, Order, TrainingSpec
from hpsearch.telemetry import Epoch
from hpsearch.training.cohort import Cohort
from hpsearch.training.loop import train_to_end
from hpsearch.training.row import shape_of
from tests.benchmarks.diagnosis.data_sets import has_mnist, prepared, with_parts

COLUMNS: Final = """\
One line is one data set. Each seed has a split of its own (4 : 1) and trains every configuration twice, from the same
initial weights: with one order of the examples in all epochs ("once"), and with a new order in each ("reshuffle").
The configurations are plain SGD with three learning rates and Adam with two, four initial weights each; a seed's value
is the mean over them.

  once, reshuffle  mean over the seeds, in percent: validation accuracy, or R2 for diabetes
  difference       mean of the paired differences once - reshuffle, in percentage points, with the 95 % interval of
                   Student's t; above 0 if "once" is better
  loss             the same for the validation loss, in percent of reshuffle's mean; below 0 if "once" is better
"""

RATES: Final[Mapping[OptimizerName, Sequence[float]]] = {"sgd": (0.03, 0.1, 0.3), "adam": (0.001, 0.01)}
WEIGHTS: Final = 4


@final
@dataclass(frozen=True, kw_only=True)
class Table:
    """A data set with its network, its budget, and how many times the seeds of the others it trains."""

    hidden: int
    batch: int
    epochs: int
    seeds: int = 1


TABLES: Final[Mapping[str, Table]] = {
    "mnist": Table(hidden=32, batch=50, epochs=8),
    "digits": Table(hidden=32, batch=32, epochs=20),
    "breast_cancer": Table(hidden=16, batch=32, epochs=30, seeds=5),
    "wine": Table(hidden=16, batch=16, epochs=30, seeds=5),
    "iris": Table(hidden=16, batch=16, epochs=40, seeds=5),
    "diabetes": Table(hidden=16, batch=32, epochs=30, seeds=5),
}


@final
@dataclass(frozen=True, kw_only=True)
class Score:
    """The mean result of one seed's trials: accuracy or R2 in percent, and the validation loss."""

    value: float
    loss: float


def data_of(name: str, seed: int) -> PreparedData:
    """Return the data set as a study of that seed has it, with standardized targets in regression."""
    data = prepared(name, "unit" if name in ("mnist", "digits") else "standard", seed)
    if data.task == "classification":
        return data
    mean, deviation = data.training.targets.mean(axis=0), data.training.targets.std(axis=0)

    def scaled(part: DataPart) -> DataPart:
        return replace(part, targets=((part.targets - mean) / deviation).astype(np.float32))

    return with_parts(data, training=scaled(data.training), validation=scaled(data.validation))


def score(data: PreparedData, table: Table, order: Order, seed: int) -> Score:
    """Return the score of one seed with that order."""
    loss: Loss = "cross_entropy" if data.task == "classification" else "mse"
    model = ModelSpec(hidden=(table.hidden,), loss=loss)
    training = TrainingSpec(batch_size=table.batch, epochs=table.epochs, order=order)
    last: list[Epoch] = []
    for optimizer, rates in RATES.items():
        own = [
            Configuration(model=model, training=replace(training, optimizer=optimizer, learning_rate=rate))
            for rate in rates
            for _ in range(WEIGHTS)
        ]
        cohort = Cohort(shape_of(own[0]), data, capacity=len(own), seed=seed)
        ends = train_to_end(cohort, dict(enumerate(own)))
        last += [observation.telemetry.epochs[-1] for observation in ends]
    losses = fmean(epoch.validation_loss for epoch in last)
    if data.task == "classification":
        return Score(value=100 * fmean(epoch.validation_accuracy or 0.0 for epoch in last), loss=losses)
    return Score(value=100 * (1 - losses / float(data.validation.targets.var())), loss=losses)


def differences(pairs: Sequence[tuple[float, float]], *, unit: float = 1.0) -> str:
    """Return the mean and the interval of the paired differences, in `unit`."""
    values = [(once - reshuffled) / unit for once, reshuffled in pairs]
    interval = mean_interval(values)
    ends = "" if interval is None else f" ({interval[0]:+.3f} to {interval[1]:+.3f})"
    return f"{fmean(values):+.3f}{ends}"


def line(name: str, pairs: Sequence[tuple[Score, Score]]) -> str:
    """Return the line of one data set, from each seed's scores with "once" and "reshuffle"."""
    values = [(once.value, other.value) for once, other in pairs]
    losses = [(once.loss, other.loss) for once, other in pairs]
    means = [fmean(value[place] for value in values) for place in (0, 1)]
    unit = fmean(loss for _, loss in losses) / 100
    return (
        f"{name:14} {len(pairs):5} {means[0]:8.3f} {means[1]:10.3f}   {differences(values):26}"
        f" {differences(losses, unit=unit):26}"
    )


def main() -> None:
    """Train both orders on every data set with the same seeds, and print the differences."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.orders",
        description=f"{__doc__}\n\n{COLUMNS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("tables", nargs="*", default=list(TABLES), help="of " + ", ".join(TABLES))
    parser.add_argument(
        "--seeds", type=int, default=30, help="seeds of MNIST and digits; tables have 5 times as many"
    )
    options = parser.parse_args()
    write = sys.stdout.write
    write(
        f"{COLUMNS}\n{'data':14} {'seeds':>5} {'once':>8} {'reshuffle':>10}   {'difference':26} {'loss':26}\n"
    )
    for name in options.tables:
        if name == "mnist" and not has_mnist():
            write("mnist: set HPSEARCH_MNIST to the folder with its files\n")
            continue
        table = TABLES[name]
        pairs = []
        for seed in range(table.seeds * options.seeds):
            data = data_of(name, seed)
            pairs.append((score(data, table, "once", seed), score(data, table, "reshuffle", seed)))
        write(f"{line(name, pairs)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
