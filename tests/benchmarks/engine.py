"""How near a cohort's training step comes to its matrix products alone: `python -m tests.benchmarks.engine`."""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, final

import numpy as np
import sklearn
from sklearn.neural_network import MLPClassifier

from hpsearch.data.prepare import DataPart, PreparedData
from hpsearch.study.spec import Configuration, ModelSpec, Order, TrainingSpec
from hpsearch.training.cohort import Cohort
from hpsearch.training.row import shape_of
from hpsearch.training.sampling_schedule import next_sample_step

BATCH, HIDDEN, CLASSES = 100, 64, 10
EXAMPLES, VALIDATION = 48_000, 100
STEPS_PER_EPOCH = EXAMPLES // BATCH
INPUTS = (64, 784)
ROWS = (1, 4, 16, 32)
SQUARE = 2048
NEVER = 10**9

# Row-steps in one measured block, about 40 ms.
BLOCK = {64: 1280, 784: 160}

COLUMNS = """\
One line is one network (inputs-hidden-outputs; ReLU, softmax cross-entropy, plain SGD with weight decay,
batch 100, float32) and one number K of rows; for comparison scikit-learn's MLPClassifier and a plain NumPy loop
with one network each, on the same minibatches. Steps only, no validation.

  ages differ  microseconds per row and step without telemetry, every row in an epoch of its own, the worst case of a
               search: each gathers its own minibatch out of 48,000 examples
  same age     the same if all rows joined together: one minibatch serves all
  once         `ages differ` with `training.order = "once"`: one minibatch serves all
  first epoch  `ages differ` with telemetry, as many looks as the 480 steps of a trial's first epoch have
  later        `ages differ` with telemetry, one look in 100 steps, as in every later epoch
  cost         what telemetry adds to `ages differ`, in percent: first epoch, later

Times are of the processor, so that other programs on the machine disturb less than by wall time. Each cell is "min /
median (share)" over the repeats. The share is the GEMM limit divided by the min: the time that the five matrix products
of the step (two forward, both weight gradients, the hidden delta) would take at the rate of a 2048-square float32
product, best of the repeats, measured in turn with everything else.
"""


@final
@dataclass(frozen=True, kw_only=True)
class Case:
    """Something to measure: `run(repeat)` takes `row_steps` steps of single rows."""

    row_steps: int
    run: Callable[[int], None]
    times_us: list[float] = field(default_factory=list)

    def measure(self, repeat: int) -> None:
        """Note one more time per row and step, in microseconds."""
        start = time.process_time()
        self.run(repeat)
        self.times_us.append((time.process_time() - start) / self.row_steps * 1e6)


@final
class Square:
    """The 2048-square product whose rate is the measure of everything else."""

    def __init__(self) -> None:
        generator = np.random.default_rng(0)
        self._a, self._b = generator.random((2, SQUARE, SQUARE), np.float32)
        self._out = np.empty_like(self._a)
        self.rates: list[float] = []

    def measure(self) -> None:
        """Note one more rate, in floating-point operations per second."""
        start = time.process_time()
        np.matmul(self._a, self._b, out=self._out)
        self.rates.append(2 * SQUARE**3 / (time.process_time() - start))


def flops(inputs: int) -> int:
    """Return the operations of one step's products: both forward, both weight gradients, the hidden delta."""
    return 2 * BATCH * (2 * inputs * HIDDEN + 3 * HIDDEN * CLASSES)


def made_up(inputs: int) -> PreparedData:
    """Return as many random examples as MNIST has after a fifth went to validation."""
    generator = np.random.default_rng(1)
    x = generator.random((EXAMPLES + VALIDATION, inputs), np.float32)
    y = generator.integers(0, CLASSES, len(x))
    return PreparedData(
        task="classification",
        classes=tuple(str(label) for label in range(CLASSES)),
        class_counts=tuple(np.bincount(y[:EXAMPLES]).tolist()),
        inputs=inputs,
        outputs=CLASSES,
        training=DataPart(inputs=x[:EXAMPLES], targets=y[:EXAMPLES]),
        validation=DataPart(inputs=x[EXAMPLES:], targets=y[EXAMPLES:]),
        test=None,
        fingerprint="made up",
        origin="made up",
    )


def cohort_cases(data: PreparedData, rows: int) -> dict[str, Case]:
    """Return the cases of a cohort with that many rows."""
    once, reshuffle = (_cohort(data, rows, order) for order in ("once", "reshuffle"))
    row_steps = max(BLOCK[data.inputs], 2 * rows)

    def run(cohort: Cohort, *, ages: int, looks: bool = False) -> Callable[[int], None]:
        return lambda repeat: _steps(cohort, row_steps // rows, start=repeat % 40, ages=ages, looks=looks)

    return {
        "off": Case(row_steps=row_steps, run=run(reshuffle, ages=1)),
        "same age": Case(row_steps=row_steps, run=run(reshuffle, ages=0)),
        "once": Case(row_steps=row_steps, run=run(once, ages=1)),
        "looks": Case(row_steps=row_steps, run=run(reshuffle, ages=1, looks=True)),
    }


def _cohort(data: PreparedData, rows: int, order: Order) -> Cohort:
    configuration = Configuration(
        model=ModelSpec(hidden=(HIDDEN,), loss="cross_entropy"),
        training=TrainingSpec(
            batch_size=BATCH, learning_rate=0.01, weight_decay=1e-6, epochs=1000, order=order
        ),
    )
    cohort = Cohort(shape_of(configuration), data, capacity=rows, seed=1)
    for number in range(rows):
        cohort.join(number, configuration)
    return cohort


def _steps(cohort: Cohort, count: int, *, start: int, ages: int, looks: bool) -> None:
    """Take `count` steps inside an epoch, with a look in each or in none; neighbours are `ages` epochs apart."""
    cohort._active = cohort.capacity
    for index, row in enumerate(cohort._rows):
        row.age = start + ages * (cohort.capacity - index) * STEPS_PER_EPOCH
        row.next_sample_at = NEVER
    with np.errstate(all="ignore"):
        for _ in range(count):
            if looks:
                for row in cohort._rows:
                    row.next_sample_at = row.age
            cohort._step()


def scikit_learn_case(data: PreparedData) -> Case:
    """Return scikit-learn's network; one call takes many minibatches, so its checks of the input are spread."""
    network = MLPClassifier(
        (HIDDEN,),
        solver="sgd",
        momentum=0.0,
        alpha=1e-4,
        learning_rate_init=0.01,
        batch_size=BATCH,
        shuffle=False,
    )
    order, count = _order(), BLOCK[data.inputs] // 4
    classes = np.arange(CLASSES)

    def run(repeat: int) -> None:
        chosen = order[repeat % 40 * BATCH :][: count * BATCH]
        network.partial_fit(data.training.inputs[chosen], data.training.targets[chosen], classes=classes)

    return Case(row_steps=count, run=run)


def numpy_case(data: PreparedData) -> Case:
    """Return the loop that one writes in an afternoon: one network, every array made anew."""
    generator = np.random.default_rng(2)
    w1, w2 = (
        generator.standard_normal(shape, np.float32) / np.float32(np.sqrt(shape[0] / 2))
        for shape in ((data.inputs, HIDDEN), (HIDDEN, CLASSES))
    )
    b1, b2 = np.zeros(HIDDEN, np.float32), np.zeros(CLASSES, np.float32)
    targets = np.eye(CLASSES, dtype=np.float32)[data.training.targets]
    order, count, rate = _order(), BLOCK[data.inputs], np.float32(0.01)

    def run(repeat: int) -> None:
        for step in range(count):
            chosen = order[(repeat % 40 + step % 400) * BATCH :][:BATCH]
            x, t = data.training.inputs[chosen], targets[chosen]
            h = np.maximum(x @ w1 + b1, 0)
            z = h @ w2 + b2
            e = np.exp(z - z.max(axis=1, keepdims=True))
            delta = (e / e.sum(axis=1, keepdims=True) - t) / BATCH
            dh = (delta @ w2.T) * (h > 0)
            for parameter, gradient in (
                (w2, h.T @ delta + 1e-6 * w2),
                (b2, delta.sum(axis=0)),
                (w1, x.T @ dh + 1e-6 * w1),
                (b1, dh.sum(axis=0)),
            ):
                np.subtract(parameter, rate * gradient, out=parameter)

    return Case(row_steps=count, run=run)


def _order() -> Any:
    return np.random.default_rng(3).permutation(EXAMPLES)


@final
@dataclass(frozen=True, kw_only=True)
class Times:
    """Microseconds per row and step."""

    least: float
    median: float

    @classmethod
    def of(cls, times_us: Sequence[float]) -> "Times":
        """Return what is shown of the repeats."""
        return cls(least=min(times_us), median=statistics.median(times_us))

    def mixed(self, looks: "Times", share: float) -> "Times":
        """Return the times where that share of the steps looks inside."""
        return Times(
            least=(1 - share) * self.least + share * looks.least,
            median=(1 - share) * self.median + share * looks.median,
        )

    def cell(self, limit_us: float) -> str:
        """Return the times and the share of the GEMM limit as a cell of the table."""
        return f"{self.least:.1f} / {self.median:.1f} ({limit_us / self.least:.2f})"


def look_shares() -> tuple[float, float]:
    """Return the shares of steps that are looked at in a trial's first epoch and in later ones."""
    looks, step = 0, 0
    while step < STEPS_PER_EPOCH:
        looks, step = looks + 1, next_sample_step(step)
    return looks / STEPS_PER_EPOCH, 1 / (next_sample_step(10**6) - 10**6)


def lines(cases: "Cases", rate: float) -> Iterator[str]:
    """Yield the lines of the Markdown table."""
    yield "| network | K | ages differ | same age | once | first epoch | later | cost |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    first, later = look_shares()
    for (inputs, name), kinds in cases.items():
        limit_us = flops(inputs) / rate * 1e6
        times = {kind: Times.of(case.times_us) for kind, case in kinds.items()}
        off = times["off"]
        cells = [f"{inputs}-{HIDDEN}-{CLASSES}", name, off.cell(limit_us)]
        if "looks" in times:
            with_looks = [off.mixed(times["looks"], share) for share in (first, later)]
            costs = ", ".join(f"{100 * (on.least / off.least - 1):.1f} %" for on in with_looks)
            others = [times[kind].cell(limit_us) for kind in ("same age", "once")]
            cells += [*others, *(on.cell(limit_us) for on in with_looks), costs]
        else:
            cells += [""] * 5
        yield "| " + " | ".join(cells) + " |"


Cases: TypeAlias = Mapping[tuple[int, str], Mapping[str, Case]]
"""Everything that is measured: by the number of inputs and the rows or the peer, then by column."""


def measured_cases(repeats: int, numbers_of_rows: Sequence[int]) -> tuple[Cases, Square]:
    """Measure everything in turn, as often as `repeats` says."""
    square = Square()
    cases: dict[tuple[int, str], dict[str, Case]] = {}
    for inputs in INPUTS:
        data = made_up(inputs)
        for rows in numbers_of_rows:
            cases[inputs, str(rows)] = cohort_cases(data, rows)
        cases[inputs, "scikit-learn"] = {"off": scikit_learn_case(data)}
        cases[inputs, "NumPy"] = {"off": numpy_case(data)}
    for repeat in range(-1, repeats):
        for index, kinds in enumerate(cases.values()):
            if index % 3 == 0:
                square.measure()
            for case in kinds.values():
                case.measure(repeat)
                if repeat < 0:
                    case.times_us.clear()  # the first round warms up
    return cases, square


def records(cases: Cases, rate: float) -> Iterator[dict[str, str | int | float]]:
    """Yield every cell of the table as a record: microseconds per row and step, and the share of the GEMM limit."""
    for (inputs, name), kinds in cases.items():
        for kind, case in kinds.items():
            times = Times.of(case.times_us)
            yield {
                "network": f"{inputs}-{HIDDEN}-{CLASSES}",
                "rows": name,
                "case": kind,
                "least_us": times.least,
                "median_us": times.median,
                "share": flops(inputs) / rate * 1e6 / times.least,
            }


def page(cases: Cases, square: Square, repeats: int) -> str:
    """Return the page with the table."""
    rate = max(square.rates)
    head = (
        f"NumPy {np.__version__}, scikit-learn {sklearn.__version__}, one BLAS thread, {repeats} repeats."
        f" A {SQUARE}-square float32 product: {rate / 1e9:.1f} Gflop/s at best,"
        f" {statistics.median(square.rates) / 1e9:.1f} in the median.\n"
        "Microseconds per row and step, min / median (share of the GEMM limit).\n\n"
    )
    return head + "\n".join(lines(cases, rate)) + "\n"


def main() -> None:
    """Read the command line and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.engine",
        description=f"{__doc__}\n\n{COLUMNS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--repeats", type=int, default=10, help="how often everything is measured (default 10)"
    )
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS, help="numbers K of rows")
    options = parser.parse_args()
    cases, square = measured_cases(options.repeats, options.rows)
    sys.stdout.write(page(cases, square, options.repeats))


if __name__ == "__main__":
    main()
