"""What diagnosis saves in a real search: `python -m tests.benchmarks.diagnosis.real_search`."""

import argparse
import math
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import final

from hpsearch.analysis.verdict_summary import is_audited
from hpsearch.data.prepare import PreparedData, prepare
from hpsearch.storage.store import open_store
from hpsearch.study.reader import read_study
from hpsearch.study.spec import DataSpec, PruningSpec, SamplerName, SamplerSpec, StudySpec, resolve
from hpsearch.trials import Trial, TrialState, best_trials
from hpsearch.verdicts import Cause
from hpsearch.worker.loop import Worker, WorkerOptions
from hpsearch.worker.shutdown import StopRequest
from tests.benchmarks.diagnosis.report import share
from tests.benchmarks.diagnosis.scoring import Share

ROOT = Path(__file__).parents[3]
STUDIES = ("digits", "mnist", "breast_cancer", "wine", "iris")
TABLE_BATCH = 16
"""The minibatches of the tables, which have 150 to 569 examples; all else is as in digits, with inputs standardized."""

SAMPLERS: tuple[SamplerName, ...] = ("random", "tpe")
MNIST = "HPSEARCH_MNIST"
MNIST_NEARBY = ROOT.parent / "shared" / "data" / "mnist"
LEASE_S = 3600.0
MANY_ROWS = 16
BEST_SHARE = 0.1

HEAD = """\
The studies of `studies/`, and three tables of scikit-learn (learning rate 1e-6 to 10, weight decay 1e-8 to 0.1), each
searched twice with the same seed:
with Optuna's median pruner alone, and with diagnosis beside it. Trials run one after another, so epochs add up; those
of a trial that was stopped inside an epoch count in part. "Same best" is the lower of the two best results, and
"epochs to it" ends with the first complete trial that is as good.
"""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Searched:
    """A finished search: its trials by number, and how many steps an epoch has."""

    trials: Sequence[Trial]
    steps_per_epoch: int

    @property
    def best(self) -> float:
        """The best result of a complete trial; NaN without one."""
        best = best_trials(self.trials, maximize=True, count=1)
        return math.nan if not best or best[0].value is None else best[0].value

    @property
    def epochs(self) -> float:
        """How many epochs were trained."""
        return sum(trial.steps for trial in self.trials) / self.steps_per_epoch

    def epochs_to(self, value: float) -> float:
        """Return how many epochs were trained until a trial was complete with that result; NaN if none is."""
        steps = 0
        for trial in self.trials:
            steps += trial.steps
            if trial.is_ranked and trial.value is not None and trial.value >= value:
                return steps / self.steps_per_epoch
        return math.nan

    @property
    def stopped(self) -> list[Trial]:
        """The trials that diagnosis stopped."""
        return [
            trial
            for trial in self.trials
            if trial.state is TrialState.PRUNED and trial.verdict not in (None, Cause.OUTRANKED)
        ]

    def threshold(self) -> float:
        """Return the result of the last trial that is among the best tenth of all."""
        best = best_trials(self.trials, maximize=True, count=math.ceil(BEST_SHARE * len(self.trials)))
        return math.nan if not best or best[-1].value is None else best[-1].value


def search(spec: StudySpec, data: PreparedData, *, rows: int) -> Searched:
    """Search in a database of its own, with one worker, until the budget is spent."""
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{folder}/search.db")
        try:
            study = store.studies.create(resolve(spec, task=data.task), fingerprint=data.fingerprint)
            options = WorkerOptions(name="one", rows=rows, lease_s=LEASE_S)
            Worker(store, study, data, options=options, stop=StopRequest()).run()
            trials = store.trials.all(study)
        finally:
            store.close()
    batch = spec.training.batch_size
    return Searched(trials=trials, steps_per_epoch=-(-len(data.training.inputs) // batch))


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """One study, sampler and seed: the search with Optuna's median alone, and the one with diagnosis beside it.

    `false_stops` counts, of the trials that diagnosis stopped, those that would have ended in the best tenth of the
    study without any pruning; only where the sampler does not learn, so that all searches try the same. `audited`
    counts the same for the trials that `[pruning] audit` let run on.
    """

    name: str
    sampler: str
    seed: int
    alone: Searched
    diagnosed: Searched
    false_stops: Share | None
    audited: Share | None

    @property
    def same_best(self) -> float:
        """The best result that both reach."""
        return min(self.alone.best, self.diagnosed.best)

    @property
    def saved_to_best(self) -> float:
        """The share of epochs to the same best result that diagnosis saves."""
        return 1 - self.diagnosed.epochs_to(self.same_best) / self.alone.epochs_to(self.same_best)

    @property
    def saved(self) -> float:
        """The share of all epochs that diagnosis saves."""
        return 1 - self.diagnosed.epochs / self.alone.epochs

    def line(self) -> str:
        """Return the line of the table."""
        pairs = [(s.epochs_to(self.same_best), s.epochs) for s in (self.alone, self.diagnosed)]
        cells = [
            f"{self.name}, {self.sampler}, {self.seed}",
            f"{self.alone.best:.4f}",
            f"{self.diagnosed.best:.4f}",
            f"{pairs[0][0]:,.0f} → {pairs[1][0]:,.0f} ({-100 * self.saved_to_best:+.0f} %)",
            f"{pairs[0][1]:,.0f} → {pairs[1][1]:,.0f} ({-100 * self.saved:+.0f} %)",
            str(len(self.diagnosed.stopped)),
            "" if self.false_stops is None else str(self.false_stops.hits),
        ]
        return "| " + " | ".join(cells) + " |"


def compare(spec: StudySpec, data: PreparedData, *, audit: float) -> Comparison:
    """Run all searches of one study, sampler and seed."""
    median = replace(spec.pruning, rank="median")
    alone = search(replace(spec, pruning=replace(median, diagnosis=False)), data, rows=1)
    diagnosed = search(replace(spec, pruning=replace(median, diagnosis=True)), data, rows=1)
    false_stops = None
    if spec.sampler.name == "random":
        unpruned = PruningSpec(diagnosis=False, rank="none")
        whole = search(replace(spec, pruning=unpruned), data, rows=MANY_ROWS)
        false_stops = count_false_stops(diagnosed, whole)
    return Comparison(
        name=spec.name,
        sampler=spec.sampler.name,
        seed=spec.seed,
        alone=alone,
        diagnosed=diagnosed,
        false_stops=false_stops,
        audited=_audit(spec, data, audit),
    )


def count_false_stops(diagnosed: Searched, whole: Searched) -> Share:
    """Return how many of the stopped trials ended in the best tenth when nothing was stopped."""
    threshold = whole.threshold()
    ends = {trial.number: trial.value for trial in whole.trials if trial.is_ranked}
    stopped = [ends.get(trial.number) for trial in diagnosed.stopped]
    return Share(hits=sum(end is not None and end >= threshold for end in stopped), total=len(stopped))


def _audit(spec: StudySpec, data: PreparedData, audit: float) -> Share | None:
    """Return how many audited trials ended in the best tenth; None without an audit."""
    if not audit:
        return None
    pruning = replace(spec.pruning, diagnosis=True, rank="none", audit=audit)
    return count_audited(search(replace(spec, pruning=pruning), data, rows=MANY_ROWS))


def count_audited(searched: Searched) -> Share:
    """Return how many of the trials that an audit let run on ended in the best tenth."""
    threshold = searched.threshold()
    ran_on = [trial for trial in searched.trials if is_audited(trial)]
    hits = sum(t.is_ranked and t.value is not None and t.value >= threshold for t in ran_on)
    return Share(hits=hits, total=len(ran_on))


def mnist_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return where MNIST lies: as the environment says, or near this repository; empty if it lies nowhere."""
    folder = Path(environment.get(MNIST, MNIST_NEARBY))
    return {MNIST: str(folder)} if folder.is_dir() else {}


def study_called(name: str, *, trials: int | None) -> StudySpec:
    """Return the study of that name in `studies/`, or that of digits on the table of that name."""
    if (file := ROOT / "studies" / f"{name}.toml").exists():
        return read_study(file, trials=trials)
    digits = read_study(ROOT / "studies" / "digits.toml", trials=trials)
    return replace(
        digits,
        name=name,
        data=DataSpec(source=name, scale="standard"),
        training=replace(digits.training, batch_size=TABLE_BATCH),
    )


def comparisons(arguments: argparse.Namespace) -> Iterator[Comparison]:
    """Run and yield all comparisons that are asked for and possible here."""
    environment = mnist_environment(os.environ)
    for name in arguments.study or STUDIES:
        if name == "mnist" and not environment:
            sys.stderr.write(f"mnist: left out, there is no {MNIST} and no {MNIST_NEARBY}\n")
            continue
        spec = study_called(name, trials=arguments.trials)
        for seed in range(spec.seed, spec.seed + arguments.seeds):
            data = prepare(spec.data, seed=seed, precision="float32", environment=environment)
            for sampler in arguments.sampler or SAMPLERS:
                chosen = replace(spec, seed=seed, sampler=SamplerSpec(name=sampler))
                yield compare(chosen, data, audit=arguments.audit)


def _pooled(shares: Iterator[Share]) -> Share:
    counted = list(shares)
    return Share(hits=sum(one.hits for one in counted), total=sum(one.total for one in counted))


def conclusion(done: Sequence[Comparison]) -> Iterator[str]:
    """Yield what all comparisons say together."""
    for name, sampler in dict.fromkeys((c.name, c.sampler) for c in done):
        part = [c for c in done if (c.name, c.sampler) == (name, sampler)]
        best, whole = (fmean(getattr(c, key) for c in part) for key in ("saved_to_best", "saved"))
        yield f"- {name}, {sampler}: {100 * best:.0f} % fewer epochs to the same best, {100 * whole:.0f} % in all"
    stops = _pooled(c.false_stops for c in done if c.false_stops is not None)
    yield f"- stopped trials that would have ended in the best tenth: {share(stops)}"
    audited = _pooled(c.audited for c in done if c.audited is not None)
    found = share(audited) if audited.total else "none was drawn among those that were stopped"
    yield f"- audited trials that ended in the best tenth: {found}"


def main() -> None:
    """Read the command line, search, and print the table as it grows."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.diagnosis.real_search", description=__doc__
    )
    parser.add_argument("--study", choices=STUDIES, action="append", help="only this one; may be repeated")
    parser.add_argument("--sampler", choices=SAMPLERS, action="append", help="as --study")
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds of each (default 3)")
    parser.add_argument("--trials", type=int, default=None, help="instead of the study file's number")
    parser.add_argument(
        "--audit", type=float, default=0.1, help="the share of stops that run on (default 0.1)"
    )
    done = []
    sys.stdout.write(f"{HEAD}\n")
    sys.stdout.write("| study, sampler, seed | best, median alone | with diagnosis | epochs to same best |")
    sys.stdout.write(" epochs in all | stopped by diagnosis | of the best tenth |\n")
    sys.stdout.write("| --- |" + " ---: |" * 6 + "\n")
    for comparison in comparisons(parser.parse_args()):
        done.append(comparison)
        sys.stdout.write(f"{comparison.line()}\n")
        sys.stdout.flush()
    sys.stdout.write("\n" + "\n".join(conclusion(done)) + "\n")


if __name__ == "__main__":
    main()
