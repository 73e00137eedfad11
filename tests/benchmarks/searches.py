"""Which sampler, pruner and number of rows find a good result soonest? `python -m tests.benchmarks.searches`.

Thousands of searches would train for days, so they are replayed. For each task a fixed pool of configurations, spread
by Sobol's sequence over the search space, is trained once: whole learning curves, ended by diagnosis alone. In a
replay, the study's real sampler and pruner suggest configurations and judge curves epoch by epoch, with rows that join
and leave as in a cohort; a suggested configuration gets the curve of one of its nearest neighbours in the pool, drawn
by the seed and the trial's number. All variants replay the same seeds.

Limits of the method: the result of a suggestion is that of a neighbour, so that structure finer than the pool is
lost, and neighbours stand for the noise of initial weights. Nothing here measures seconds of training: epochs and
cohort epochs count, and the sampler's own time is printed beside them. `--real N` checks it by real searches.
"""

import argparse
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from statistics import fmean
from tempfile import gettempdir
from typing import Final, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from hpsearch.analysis.intervals import mean_interval
from hpsearch.data.description import facts_of
from hpsearch.data.prepare import PreparedData, prepare
from hpsearch.diagnosis.facts import facts_about
from hpsearch.diagnosis.verdicts import fatal_finding
from hpsearch.search.searcher import Searcher
from hpsearch.study.spec import (
    DataSpec,
    ModelSpec,
    PruningSpec,
    Range,
    SamplerName,
    SamplerSpec,
    StudySpec,
    TrainingSpec,
    configure,
    resolve,
    with_target_scale,
)
from hpsearch.training.cohort import Cohort
from hpsearch.training.row import Observation, shape_of
from hpsearch.trials import ParameterValue, Trial, TrialState
from hpsearch.verdicts import Cause, Finding
from hpsearch.worker.capacity import SHARE_IN_FLIGHT
from hpsearch.worker.loop import REFILL_SHARE
from tests.benchmarks.diagnosis.real_search import search

COLUMNS: Final = """\
One line is one variant of a search by TPE with the median pruner, over all tasks and seeds. The target of a task is the
best known result less 0.2 points: the highest mean result among neighbours in the pool, so that the luck of one
training is no target.

  epochs        expected number of epochs until a complete trial reaches the target, divided by that of TPE with the
                median pruner: epochs up to the target, or the end of the search, over the number of searches that
                reached it (the "expected running time" of Hansen et al. 2009); geometric mean over the tasks, below 1
                if better
  cohort        the same for epochs of the whole cohort, which take about the same time whatever the rows
  reached       the share of searches that reached the target
  best          mean difference of the best results at the end of the budget, in points (accuracy or R2)
  total         mean number of epochs in a whole search
  sampler       milliseconds of processor time per trial, in sampler and pruner

Intervals are of 95 %: the bootstrap over seeds for ratios, Student's t over the seeds' means for differences.
"""

POOL: Final = 384
"""Configurations that are trained for each task."""

NEIGHBOURS: Final = 4
POINTS: Final = 0.002
"""The distance of the target from the best known result: 0.2 points."""

COHORT: Final = 32
BOOTSTRAPS: Final = 2000
SHORT_OF_ALL: Final = 0.5
"""Searches that count as successful if none reached the target, so that the ratio stays finite."""

MNIST_EXAMPLES: Final = 3000

Array: TypeAlias = NDArray[np.float64]


@final
@dataclass(frozen=True, kw_only=True)
class Task:
    """Data, network and training of one task, with the default search or one of its own."""

    source: str
    hidden: int = 16
    training: TrainingSpec = field(default_factory=TrainingSpec)
    search: tuple[Range, ...] = ()
    examples: int | None = None

    @property
    def spec(self) -> StudySpec:
        """The study of the task, with its data's "auto" unresolved."""
        is_image = self.source in ("digits", "mnist")
        return StudySpec(
            name=self.source,
            data=DataSpec(
                source=self.source, examples=self.examples, scale="unit" if is_image else "standard"
            ),
            metric="r2" if self.source == "diabetes" else "validation_accuracy",
            model=ModelSpec(hidden=(self.hidden,)),
            training=self.training,
            search=self.search or WIDE,
        )


DECAY: Final = Range(name="weight_decay", low=1e-8, high=1e-1, log=True)
WIDE: Final = (Range(name="learning_rate", low=1e-6, high=10.0, log=True), DECAY)
MOMENTUM: Final = (*WIDE, Range(name="momentum", low=0.0, high=0.99))
ADAM: Final = (Range(name="learning_rate", low=1e-6, high=1.0, log=True), DECAY)

TASKS: Final[Mapping[str, Task]] = {
    "digits": Task(source="digits", hidden=64, training=TrainingSpec(epochs=20, batch_size=32)),
    "digits, momentum": Task(
        source="digits",
        hidden=32,
        training=TrainingSpec(epochs=15, batch_size=32, optimizer="momentum"),
        search=MOMENTUM,
    ),
    "digits, Adam": Task(
        source="digits",
        hidden=32,
        training=TrainingSpec(epochs=15, batch_size=32, optimizer="adam"),
        search=ADAM,
    ),
    "wine": Task(source="wine", training=TrainingSpec(epochs=30, batch_size=16)),
    "breast_cancer": Task(source="breast_cancer", training=TrainingSpec(epochs=20, batch_size=32)),
    "iris": Task(source="iris", training=TrainingSpec(epochs=30, batch_size=16)),
    "diabetes": Task(source="diabetes", training=TrainingSpec(epochs=20, batch_size=32)),
    "mnist": Task(
        source="mnist",
        hidden=32,
        training=TrainingSpec(epochs=10, batch_size=50),
        examples=MNIST_EXAMPLES,
    ),
}


@final
@dataclass(frozen=True, kw_only=True)
class Variant:
    """A way to search, by default TPE with the median pruner.

    `in_flight` is the share of the budget that trains at once, at least one trial. With a `start`, that sampler chooses
    the trials before those that learn.
    """

    sampler: SamplerSpec = field(default_factory=SamplerSpec)
    pruning: PruningSpec = field(default_factory=lambda: PruningSpec(rank="median"))
    in_flight: float = 1 / SHARE_IN_FLIGHT
    start: SamplerName | None = None

    def rows(self, trials: int) -> int:
        """Return the number of trials that train at once in a study of `trials`."""
        return max(1, int(trials * self.in_flight))


REFERENCE: Final = "tpe, median"

VARIANTS: Final[Mapping[str, Variant]] = {
    REFERENCE: Variant(),
    "QMC start": Variant(start="qmc"),
    "5 random trials": Variant(sampler=SamplerSpec(startup_trials=5)),
    "random": Variant(sampler=SamplerSpec(name="random")),
    "qmc": Variant(sampler=SamplerSpec(name="qmc")),
    "cmaes": Variant(sampler=SamplerSpec(name="cmaes")),
    "gp": Variant(sampler=SamplerSpec(name="gp")),
    "no pruning": Variant(pruning=PruningSpec(rank="none")),
    "percentile 25": Variant(pruning=PruningSpec(rank="percentile")),
    "asha, 4": Variant(pruning=PruningSpec(rank="asha", reduction_factor=4)),
    "asha, 2": Variant(pruning=PruningSpec(rank="asha")),
    "default pruner": Variant(pruning=PruningSpec()),
    "asha, 2; QMC start": Variant(pruning=PruningSpec(rank="asha"), start="qmc"),
    "asha, 2; a fifth in flight": Variant(pruning=PruningSpec(rank="asha"), in_flight=1 / 5),
    "hyperband, 4": Variant(pruning=PruningSpec(rank="hyperband", reduction_factor=4)),
    "hyperband, 2": Variant(pruning=PruningSpec(rank="hyperband")),
    "warm-up 2": Variant(pruning=PruningSpec(rank="median", warmup_epochs=2)),
    "warm-up 4": Variant(pruning=PruningSpec(rank="median", warmup_epochs=4)),
    "pruning after 10 trials": Variant(pruning=PruningSpec(rank="median", startup_trials=10)),
    "1 row": Variant(in_flight=0),
    "a fifth in flight": Variant(in_flight=1 / 5),
    "half in flight": Variant(in_flight=1 / 2),
}

SLOW: Final = frozenset({"gp"})
"""Variants that run only if they are named."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """The trained configurations of a task: N of them, with D parameters and E epochs.

    `points` (N, D) are in the unit cube. `curves` (N, E) has the metric after each epoch, NaN after the end; `steps`
    (N,) counts the optimizer steps. `causes` (N,) are the verdicts that ended trainings, empty for those that were
    complete.
    """

    points: Array
    curves: Array
    steps: NDArray[np.int64]
    causes: NDArray[np.str_]
    steps_per_epoch: int

    def neighbours(self, point: Array) -> NDArray[np.intp]:
        """Return the places of the configurations next to a `point` (D,), nearest first."""
        distances = ((self.points - point) ** 2).sum(axis=1)
        return np.argsort(distances, kind="stable")[:NEIGHBOURS]

    def best_known(self) -> float:
        """Return the highest mean result of a configuration's neighbours."""
        last = np.where(self.causes == "", self.curves[:, -1], -np.inf)
        return float(max(last[self.neighbours(point)].mean() for point in self.points))


def unit_point(search: Sequence[Range], params: Mapping[str, ParameterValue]) -> Array:
    """Return the place (D,) of a trial's parameters in the unit cube, on each range's own scale."""
    scaled = []
    for each in search:
        change = math.log if each.log else float
        low, high, value = change(each.low), change(each.high), change(float(params[each.name]))
        scaled.append((value - low) / (high - low))
    return np.array(scaled)


def searched_ranges(spec: StudySpec) -> tuple[Range, ...]:
    """Return the dimensions of a task's search, which are all ranges."""
    return tuple(each for each in spec.search if isinstance(each, Range))


def with_epochs(task: Task, epochs: int | None) -> Task:
    """Return a task whose trials have that many epochs, or the task itself for None."""
    return task if epochs is None else replace(task, training=replace(task.training, epochs=epochs))


def prepared_task(task: Task) -> tuple[StudySpec, PreparedData]:
    """Return the study of a task and its data."""
    spec = with_target_scale(task.spec)
    data = prepare(spec.data, seed=spec.seed, precision="float32", environment=os.environ)
    return resolve(spec, task=data.task), data


def trained_pool(task: Task, size: int) -> Pool:
    """Train `size` configurations of a task to their ends: the last epoch, or a fatal verdict."""
    spec, data = prepared_task(task)
    sobol = Searcher(replace(spec, sampler=SamplerSpec(name="qmc"), pruning=PruningSpec(rank="none")))
    params = [sobol.suggest(number).params for number in range(size)]
    curves = np.full((size, spec.training.epochs), np.nan)
    steps = np.zeros(size, np.int64)
    causes = np.full(size, "", dtype="U40")
    configurations = [configure(spec, each) for each in params]
    cohort = Cohort(
        shape_of(configurations[0]), data, capacity=min(COHORT, size), seed=spec.seed, metric=spec.metric
    )
    known = facts_of(data)
    facts = [facts_about(spec, known, configuration) for configuration in configurations]
    waiting = list(range(size))

    def note(seen: Observation) -> None:
        telemetry, number = seen.telemetry, seen.number
        for epoch in telemetry.epochs[-1:]:
            curves[number, epoch.epoch] = epoch.value(spec.metric)
        found = fatal_finding(telemetry, facts[number], spec.pruning.fatal_causes)
        if found is None and not seen.is_finished:
            return
        if found is not None:
            causes[number] = found.cause.value
        steps[number] = telemetry.steps
        cohort.leave(number)

    while waiting or cohort.numbers:
        while waiting and cohort.free and (cohort.is_between_epochs or not cohort.numbers):
            cohort.join(waiting[0], configurations[waiting.pop(0)])
        for seen in cohort.advance():
            note(seen)
    return Pool(
        points=np.array([unit_point(searched_ranges(spec), each) for each in params]),
        curves=curves,
        steps=steps,
        causes=causes,
        steps_per_epoch=cohort.steps_per_epoch,
    )


def pool_of(name: str, task: Task, folder: Path, size: int) -> Pool:
    """Return the pool of a task of that name, from its file in `folder` if it is there, else trained and stored."""
    path = folder / f"{name.replace(', ', '-')}-{task.training.epochs}-{size}.npz"
    if not path.exists():
        pool = trained_pool(task, size)
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(path, **vars(pool))
    with np.load(path) as stored:
        return Pool(
            **{key: stored[key] for key in stored} | {"steps_per_epoch": int(stored["steps_per_epoch"])}
        )


@final
@dataclass(kw_only=True)
class Row:
    """A trial in training: the place of its curve in the pool, and its age in epochs."""

    params: Mapping[str, ParameterValue]
    place: int
    age: int = 0


@final
@dataclass(kw_only=True)
class Replayed:
    """The outcome of one replayed search: epochs of rows and of the cohort, also those `until` the target."""

    epochs: float = 0.0
    cohort_epochs: int = 0
    until: tuple[float, int] | None = None
    best: float = -math.inf
    sampler_s: float = 0.0

    def costs(self) -> tuple[float, float]:
        """Return the epochs of rows and of the cohort until the target, or the end."""
        return self.until or (self.epochs, self.cohort_epochs)


@final
class Replay:
    """One search on the curves of a pool."""

    def __init__(self, pool: Pool, spec: StudySpec, variant: Variant, target: float) -> None:
        self._pool = pool
        self._spec = replace(spec, sampler=variant.sampler, pruning=variant.pruning)
        self._searcher = Searcher(self._spec)
        self._start = Searcher(
            replace(
                spec, sampler=SamplerSpec(name=variant.start or "random"), pruning=PruningSpec(rank="none")
            )
        )
        self._started = variant.sampler.startup_trials if variant.start else 0
        self._rows = variant.rows(spec.trials)
        self._target = target
        self._active: dict[int, Row] = {}
        self._begun = 0
        self.outcome = Replayed()

    def run(self) -> Replayed:
        """Search until the budget is spent."""
        while self._begun < self._spec.trials or self._active:
            self._join()
            self.outcome.cohort_epochs += 1
            for number, row in list(self._active.items()):
                self._train(number, row)
        return self.outcome

    def _join(self) -> None:
        """Let new trials join, as a worker does: some rows at a time."""
        free = self._rows - len(self._active)
        if self._active and free * REFILL_SHARE < self._rows:
            return
        for _ in range(min(free, self._spec.trials - self._begun)):
            number, began_s = self._begun, time.process_time()
            fixed = self._start.suggest(number).params if number < self._started else {}
            params = self._searcher.suggest(number, fixed).params
            self.outcome.sampler_s += time.process_time() - began_s
            near = self._pool.neighbours(unit_point(searched_ranges(self._spec), params))
            place = int(np.random.default_rng([self._spec.seed, number]).choice(near))
            self._active[number] = Row(params=params, place=place)
            self._begun += 1

    def _train(self, number: int, row: Row) -> None:
        """Let one trial train for an epoch, or the part of it after which diagnosis stopped it."""
        pool, seconds = self._pool, time.process_time()
        steps = int(pool.steps[row.place]) - row.age * pool.steps_per_epoch
        is_last = steps <= pool.steps_per_epoch
        self.outcome.epochs += min(steps / pool.steps_per_epoch, 1.0)
        value = float(pool.curves[row.place, row.age]) if row.age < pool.curves.shape[1] else math.nan
        cause = str(pool.causes[row.place])
        if steps >= pool.steps_per_epoch:
            row.age += 1
            self._searcher.report(number, row.age - 1, value)
        if is_last and cause:
            self._end(number, row, TrialState.PRUNED, Cause(cause))
        elif is_last:
            self._end(number, row, TrialState.COMPLETE, Cause.HEALTHY)
        elif self._searcher.is_outranked(number):
            self._end(number, row, TrialState.PRUNED, Cause.OUTRANKED)
        self.outcome.sampler_s += time.process_time() - seconds

    def _end(self, number: int, row: Row, state: TrialState, cause: Cause) -> None:
        """End a trial and let the searcher learn it."""
        curve = self._pool.curves[row.place, : row.age]
        value = float(curve[-1]) if row.age else None
        finding = Finding(cause=cause, confidence=1.0, first_step=0, evidence={}, remedy="")
        trial = Trial(
            number=number,
            state=state,
            params=row.params,
            value=value,
            curve=dict(enumerate(curve.tolist())),
            finding=finding,
            epochs=row.age,
            steps=row.age * self._pool.steps_per_epoch,
            worker="replay",
            system_attributes=self._searcher.take_attributes(number),
        )
        del self._active[number]
        self._searcher.learn([trial])
        if state is not TrialState.COMPLETE or value is None:
            return
        self.outcome.best = max(self.outcome.best, value)
        if value >= self._target and self.outcome.until is None:
            self.outcome.until = (self.outcome.epochs, self.outcome.cohort_epochs)


Outcomes: TypeAlias = Mapping[str, Sequence[Replayed]]
"""The outcomes of one variant: by task, then by seed."""


def ratios(own: Outcomes, other: Outcomes, cost: int, draws: NDArray[np.intp]) -> Array:
    """Return the ratio of expected costs until the target, for each line of `draws` (n, seeds) of seeds.

    `cost` 0 is epochs of rows, 1 those of the cohort.
    """
    logs = np.zeros(len(draws))
    for name in own:
        expected = []
        for outcomes in (own[name], other[name]):
            costs = np.array([each.costs()[cost] for each in outcomes])
            reached = np.array([each.until is not None for each in outcomes])
            expected.append(costs[draws].sum(axis=1) / np.maximum(reached[draws].sum(axis=1), SHORT_OF_ALL))
        logs += np.log(expected[0] / expected[1])
    ratio: Array = np.exp(logs / len(own))
    return ratio


def ratio_cell(own: Outcomes, other: Outcomes, cost: int) -> str:
    """Return the ratio of expected costs with its interval."""
    seeds = len(next(iter(own.values())))
    whole = ratios(own, other, cost, np.arange(seeds)[None])[0]
    draws = np.random.default_rng(0).integers(0, seeds, (BOOTSTRAPS, seeds))
    low, high = np.quantile(ratios(own, other, cost, draws), (0.025, 0.975))
    return f"{whole:.2f} ({low:.2f} to {high:.2f})"


def difference_cell(own: Outcomes, other: Outcomes) -> str:
    """Return the mean difference of the best results in points, with its interval over the seeds."""
    seeds = range(len(next(iter(own.values()))))
    means = [
        100 * fmean(_finite(own[name][seed].best) - _finite(other[name][seed].best) for name in own)
        for seed in seeds
    ]
    interval = mean_interval(means)
    ends = "" if interval is None else f" ({interval[0]:+.2f} to {interval[1]:+.2f})"
    return f"{fmean(means):+.2f}{ends}"


def _finite(value: float) -> float:
    """Return a best result, 0 if no trial was complete."""
    return value if math.isfinite(value) else 0.0


def line(name: str, own: Outcomes, other: Outcomes, trials: int) -> str:
    """Return the line of one variant, compared with the outcomes of `REFERENCE`."""
    every = [each for outcomes in own.values() for each in outcomes]
    cells = [
        name,
        ratio_cell(own, other, 0),
        ratio_cell(own, other, 1),
        f"{fmean(each.until is not None for each in every):.0%}",
        difference_cell(own, other),
        f"{fmean(each.epochs for each in every):.0f}",
        f"{1e3 * fmean(each.sampler_s for each in every) / trials:.1f}",
    ]
    return "| " + " | ".join(cells) + " |"


def table(
    pools: Mapping[str, Pool],
    tasks: Mapping[str, Task],
    variants: Sequence[str],
    *,
    seeds: int,
    trials: int,
) -> Iterator[str]:
    """Yield the lines of the Markdown table, each as soon as its searches are replayed."""
    yield "| search | epochs | cohort | reached | best | total | sampler |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    specs = {name: replace(prepared_task(tasks[name])[0], trials=trials) for name in pools}
    targets = {name: pool.best_known() - POINTS for name, pool in pools.items()}
    reference: Outcomes = {}
    for title in variants:
        outcomes = {
            name: [
                Replay(pool, replace(specs[name], seed=seed), VARIANTS[title], targets[name]).run()
                for seed in range(seeds)
            ]
            for name, pool in pools.items()
        }
        reference = reference or outcomes
        yield line(title, outcomes, reference, trials)


def real(
    name: str, task: Task, variants: Sequence[str], *, seeds: int, trials: int, target: float
) -> Iterator[str]:
    """Yield a table of real searches of a task, with the seeds of the replays; variants with a `start` are left out."""
    yield f"| real searches of {name} | reached | epochs until then | epochs in all | mean best |"
    yield "| --- | --- | --- | --- | --- |"
    spec, data = prepared_task(task)
    for title in variants:
        variant = VARIANTS[title]
        if variant.start is not None:
            continue
        changed = replace(spec, trials=trials, sampler=variant.sampler, pruning=variant.pruning)
        found = [
            search(replace(changed, seed=seed), data, rows=variant.rows(trials)) for seed in range(seeds)
        ]
        until = [each.epochs_to(target) for each in found]
        reached = [epochs for epochs in until if not math.isnan(epochs)]
        cells = [
            title,
            f"{len(reached)} of {seeds}",
            f"{fmean(reached):.0f}" if reached else "",
            f"{fmean(each.epochs for each in found):.0f}",
            f"{fmean(each.best for each in found):.4f}",
        ]
        yield "| " + " | ".join(cells) + " |"


def main() -> None:
    """Train the pools that are missing, replay the searches, and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.searches",
        description=f"{__doc__}\n{COLUMNS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("variants", nargs="*", help="of " + "; ".join(VARIANTS))
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument(
        "--pool", type=int, default=POOL, help="configurations that are trained for each task"
    )
    parser.add_argument("--epochs", type=int, help="epochs of every task, in place of its own 10 to 30")
    folder = Path(gettempdir()) / "hpsearch-searches"
    parser.add_argument("--cache", type=Path, default=folder, help="folder of the pools")
    parser.add_argument(
        "--real", type=int, default=0, metavar="N", help="also run N real searches of each task and variant"
    )
    options = parser.parse_args()
    write = sys.stdout.write
    write(f"{COLUMNS}\n")
    pools = {}
    tasks = {name: with_epochs(TASKS[name], options.epochs) for name in options.tasks}
    for name, task in tasks.items():
        began_s = time.process_time()
        pools[name] = pool_of(name, task, options.cache, options.pool)
        complete = int((pools[name].causes == "").sum())
        write(
            f"{name}: {complete} of {options.pool} configurations are complete, best known "
            f"{pools[name].best_known():.4f}, {time.process_time() - began_s:.0f} s\n"
        )
        sys.stdout.flush()
    some = options.variants or [name for name in VARIANTS if name not in SLOW]
    chosen = list(dict.fromkeys((REFERENCE, *some)))
    write("\n")
    lines = [table(pools, tasks, chosen, seeds=options.seeds, trials=options.trials)]
    if options.real:
        lines += [
            real(
                name,
                tasks[name],
                chosen,
                seeds=options.real,
                trials=options.trials,
                target=pool.best_known() - POINTS,
            )
            for name, pool in pools.items()
        ]
    for text in chain.from_iterable(lines):
        write(f"{text}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
