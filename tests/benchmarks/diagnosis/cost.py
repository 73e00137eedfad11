"""What telemetry and diagnosis cost, as a share of training: `python -m tests.benchmarks.diagnosis.cost`.

`--inputs 64 --rows 32 --repeats 3` measures one network in half a minute of processor time; all of them take minutes.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, final

import numpy as np
from threadpoolctl import threadpool_limits

from hpsearch.data.description import facts_of
from hpsearch.data.prepare import PreparedData
from hpsearch.diagnosis.facts import TrialFacts
from hpsearch.diagnosis.verdicts import fatal_finding
from hpsearch.study.spec import DEFAULT_FATAL, Configuration, ModelSpec, TrainingSpec
from hpsearch.training.cohort import Cohort
from hpsearch.training.row import Observation, shape_of
from tests.benchmarks.engine import BATCH, HIDDEN, INPUTS, NEVER, STEPS_PER_EPOCH, made_up

ROWS = (16, 32)
TRIAL_EPOCHS = 20
TURN = 20
KINDS = ("bare", "telemetry", "judged")
FATAL = frozenset(DEFAULT_FATAL)
Rounds: TypeAlias = Sequence[Sequence[float]]
"""Seconds by round and turn."""

PARTS = ("first epoch", "later epoch")

CONFIGURATION = Configuration(
    model=ModelSpec(hidden=(HIDDEN,), loss="cross_entropy"),
    training=TrainingSpec(batch_size=BATCH, learning_rate=0.01, epochs=TRIAL_EPOCHS),
)

HEAD = """\
One line is one network (inputs-hidden-outputs; ReLU, softmax cross-entropy, plain SGD, batch 100, float32) and one
number K of rows in one cohort, all of one age. "Bare" is the whole training loop, validation included, in which no row
is ever looked at; "telemetry" looks as the product does, "judge" asks diagnosis at every observation too, as a worker.
They take turns, {turn} steps at a time, in {repeats} rounds, in processor time on one thread; each cell is the cost in
percent of bare, "min / median": from the least time of each turn, and the median of the rounds' own ratios. "20 epochs"
is a trial of 20 epochs: one first epoch and 19 later ones.
"""


@final
@dataclass(kw_only=True)
class Loop:
    """One way to train one network: seconds of processor time by part, round and turn."""

    data: PreparedData
    facts: TrialFacts
    rows: int
    kind: str
    times: dict[str, list[list[float]]] = field(default_factory=lambda: {part: [] for part in PARTS})

    def start(self) -> None:
        """Begin a round with a full cohort, whose rows all begin their first epoch."""
        shape = shape_of(self.facts.configuration)
        self._cohort = Cohort(shape, self.data, capacity=self.rows, seed=1)
        self._observe = _observer(self.facts, judges=self.kind == "judged")
        for number in range(self.rows):
            self._join(number)
        for part in PARTS:
            self.times[part].append([])

    def run(self, part: str, steps: int) -> None:
        """Take `steps` with every row."""
        start = time.process_time()
        for _ in range(steps):
            for observation in self._cohort._step():
                self._observe(observation)
        self.times[part][-1].append(time.process_time() - start)

    def _join(self, number: int) -> None:
        self._cohort.join(number, self.facts.configuration)
        if self.kind == "bare":
            self._cohort._rows[-1].next_sample_at = NEVER

    def whole(self) -> list[list[float]]:
        """Return how long the turns of each round would take for all epochs of a trial."""
        pairs = zip(self.times[PARTS[0]], self.times[PARTS[1]], strict=True)
        return [[*first, *((TRIAL_EPOCHS - 1) * turn for turn in later)] for first, later in pairs]


def run_round(loops: Sequence[Loop]) -> None:
    """Train with each of `loops`, in turn a few steps at a time, until the rows are two epochs old."""
    for loop in loops:
        loop.start()
    with np.errstate(all="ignore"):
        for part in PARTS:
            for step in range(0, STEPS_PER_EPOCH, TURN):
                for loop in loops:
                    loop.run(part, min(TURN, STEPS_PER_EPOCH - step))


def _observer(facts: TrialFacts, *, judges: bool) -> Callable[[Observation], None]:
    def look(observation: Observation) -> None:
        if judges:
            fatal_finding(observation.telemetry, facts, FATAL)

    return look


def least(rounds: Rounds) -> float:
    """Return the sum of the least times of the turns: what other processes add to one round is not in it."""
    turns: list[float] = [min(same) for same in zip(*rounds, strict=True)]
    return sum(turns)


def cost(more: Rounds, less: Rounds, bare: Rounds) -> str:
    """Return by how many percent of `bare` one series of times lies above another: of the least, and in the median."""
    share = 100 * (least(more) - least(less)) / least(bare)
    sums = zip(*(map(sum, rounds) for rounds in (more, less, bare)), strict=True)
    ratios = [100 * (one - other) / base for one, other, base in sums]
    return f"{share:.1f} / {statistics.median(ratios):.1f}"


def lines(loops: dict[tuple[int, int], dict[str, Loop]]) -> Iterator[str]:
    """Yield the lines of the Markdown table."""
    yield "| network | K | part | bare, µs per row and step | telemetry | judge | both |"
    yield "| --- | ---: | --- | ---: | ---: | ---: | ---: |"
    for (inputs, rows), kinds in loops.items():
        for part in (*PARTS, "20 epochs"):
            times = [kinds[k].whole() if part == "20 epochs" else kinds[k].times[part] for k in KINDS]
            bare, telemetry, judged = times
            cells = [
                f"{inputs}-{HIDDEN}-10",
                str(rows),
                part,
                f"{1e6 * least(bare) / _row_steps(part, rows):.1f}",
                cost(telemetry, bare, bare),
                cost(judged, telemetry, bare),
                cost(judged, bare, bare),
            ]
            yield "| " + " | ".join(cells) + " |"


def _row_steps(part: str, rows: int) -> int:
    """Return how many steps of single rows a part takes: one epoch, or all of them."""
    return rows * STEPS_PER_EPOCH * (1 if part in PARTS else TRIAL_EPOCHS)


def measured(repeats: int, *, inputs_of: Sequence[int] = INPUTS, rows_of: Sequence[int] = ROWS) -> str:
    """Measure the networks with these numbers of inputs and rows in turn, and return the page."""
    loops: dict[tuple[int, int], dict[str, Loop]] = {}
    for inputs in inputs_of:
        data = made_up(inputs)
        facts = TrialFacts(configuration=CONFIGURATION, data=facts_of(data), steps_per_epoch=STEPS_PER_EPOCH)
        for rows in rows_of:
            loops[inputs, rows] = {kind: Loop(data=data, facts=facts, rows=rows, kind=kind) for kind in KINDS}
    with threadpool_limits(1):
        for _ in range(repeats):
            for kinds in loops.values():
                run_round(list(kinds.values()))
    return HEAD.format(turn=TURN, repeats=repeats) + "\n" + "\n".join(lines(loops)) + "\n"


def main() -> None:
    """Read the command line and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.diagnosis.cost", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="how many rounds are measured (default 5)")
    parser.add_argument("--inputs", type=int, choices=INPUTS, action="append", help="only this network")
    parser.add_argument("--rows", type=int, action="append", help=f"trials side by side (default {ROWS})")
    arguments = parser.parse_args()
    page = measured(arguments.repeats, inputs_of=arguments.inputs or INPUTS, rows_of=arguments.rows or ROWS)
    sys.stdout.write(page)


if __name__ == "__main__":
    main()
