"""The same searches by hpsearch and by its peers, each as a process of its own, on the same data and budget."""

import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Final, TypeAlias, final

import numpy as np
import psutil

from hpsearch.analysis.intervals import Interval, wilson_interval
from hpsearch.data.prepare import prepare
from hpsearch.storage.store import open_store
from hpsearch.study.spec import DataSpec
from hpsearch.trials import Trial, TrialState
from tests.benchmarks.peers.task import PeerTask, PeerTrial, read_trials, write_task
from tests.benchmarks.storage.databases import on_server

ROOT: Final = Path(__file__).parents[2]

COLUMNS: Final = """\
One line is one program with one search: the same data and split, network, optimizer, space, budget of trials and number
of epochs. All have TPE. Optuna's peers have its median pruner, Ray Tune its median stopping rule, and hpsearch its
default pruner and diagnosis. Times are of whole processes with all imports; a database's server is not counted in
processor time.

  s, CPU s         seconds of wall time and of processor time, means over the repeats
  epochs           epochs that were trained in the whole search
  best             best validation accuracy in percent, mean
  equal            whether the interval (95 %) of the difference of best accuracies to hpsearch's contains 0: Newcombe
                   (1998), method 10, over the validation examples of all repeats
  s, epochs to     seconds of wall time from the start of the process, and epochs, until a trial was complete with the
                   best known accuracy (of any program with this split) less 0.2 points: means over the repeats that
                   reached it, whose number follows
  ratio            times of hpsearch: s / CPU s / s to, the last only from repeats in which both reached it
"""

POINTS: Final = 0.002
"""The distance of the target from the best known accuracy: 0.2 points."""

HPSEARCH: Final = "hpsearch"
POLL_S: Final = 0.5
"""Time between two looks at the descendants of a program."""

LONGEST_S: Final = 1800.0


@final
@dataclass(frozen=True, kw_only=True)
class Search:
    """A search that all programs run, with plain SGD on one hidden layer."""

    source: str
    trials: int
    epochs: int
    batch_size: int
    hidden: int = 64
    learning_rate: tuple[float, float] = (1e-6, 10.0)
    weight_decay: tuple[float, float] = (1e-8, 1e-1)

    @property
    def title(self) -> str:
        """The search in a few words."""
        return f"{self.source}, {self.trials} trials of {self.epochs} epochs"

    def study_file(self, seed: int) -> str:
        """Return the search as a study file of hpsearch."""
        return f"""\
name = "{self.source}"
trials = {self.trials}
seed = {seed}
data.source = "{self.source}"
model.hidden = [{self.hidden}]

[training]
epochs = {self.epochs}
batch_size = {self.batch_size}

[search]
learning_rate = {{ low = {self.learning_rate[0]!r}, high = {self.learning_rate[1]!r}, log = true }}
weight_decay = {{ low = {self.weight_decay[0]!r}, high = {self.weight_decay[1]!r}, log = true }}
"""

    def peer_task(self, data: Path, seed: int, storage: str | None) -> PeerTask:
        """Return the search as the peers read it."""
        return PeerTask(
            data=str(data),
            trials=self.trials,
            epochs=self.epochs,
            hidden=self.hidden,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            seed=seed,
            storage=storage,
        )


DIGITS: Final = Search(source="digits", trials=100, epochs=20, batch_size=32)
MNIST: Final = Search(source="mnist", trials=40, epochs=5, batch_size=100)


@final
@dataclass(frozen=True, kw_only=True)
class Timing:
    """The start of a process in seconds since 1970, and its wall and processor time with all descendants."""

    began_s: float
    wall_s: float
    cpu_s: float


@final
@dataclass(frozen=True, kw_only=True)
class Measured:
    """One search of one program; `examples` are those of the validation part.

    `storage` names where its trials are kept. With `has_database` the programs had a database each; without it,
    hpsearch has an SQLite file.
    """

    program: str
    search: Search
    storage: str
    has_database: bool
    seed: int
    timing: Timing
    examples: int
    trials: tuple[PeerTrial, ...]

    @property
    def best(self) -> float:
        """The best accuracy of a complete trial, 0 without one."""
        return max((trial.accuracy for trial in self.trials if trial.accuracy is not None), default=0.0)

    @property
    def epochs(self) -> int:
        """The epochs of all trials."""
        return sum(trial.epochs for trial in self.trials)

    def until(self, accuracy: float) -> tuple[float, float] | None:
        """Return seconds and epochs until a trial was complete with that accuracy; None if none was.

        A trial in training at that time counts by the share of its time that had passed.
        """
        times = [t.ended_s for t in self.trials if t.accuracy is not None and t.accuracy >= accuracy]
        if not times:
            return None
        end_s = min(times)
        return end_s - self.timing.began_s, sum(trial.epochs * _passed(trial, end_s) for trial in self.trials)

    def record(self, target: float) -> dict[str, Any]:
        """Return what is stored of it."""
        reached = self.until(target)
        return {
            "program": self.program,
            "search": self.search.title,
            "storage": self.storage,
            "seed": self.seed,
            "wall_s": self.timing.wall_s,
            "cpu_s": self.timing.cpu_s,
            "epochs": self.epochs,
            "trials": len(self.trials),
            "best": self.best,
            "target": target,
            "seconds_to_target": None if reached is None else reached[0],
            "epochs_to_target": None if reached is None else reached[1],
        }


def _passed(trial: PeerTrial, now_s: float) -> float:
    """Return the share of a trial's time that had passed, in 0..1."""
    if now_s >= trial.ended_s:
        return 1.0
    return max(0.0, now_s - trial.started_s) / (trial.ended_s - trial.started_s)


@final
class ProgramError(Exception):
    """A program that ended with an error; the message is the end of its output."""


def timed(command: Sequence[str], *, folder: Path, environment: Mapping[str, str]) -> Timing:
    """Run a command to its end.

    Descendants that this process cannot wait for are read from the system, so that their last moments are missing.
    Raises ProgramError if it fails, or takes longer than `LONGEST_S`.
    """
    seen_s: dict[int, float] = {}
    own_s, began_s = _children_s(), time.time()
    with (folder / "output.txt").open("w+b") as output:
        process = psutil.Popen(
            command, cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        while not _has_ended(process):
            _look(process, seen_s)
            if time.time() - began_s > LONGEST_S:
                _end(process)
        wall_s = time.time() - began_s
        if process.returncode != 0:
            output.seek(0)
            lines = output.read().decode(errors="replace").strip().splitlines() or ["no output"]
            raise ProgramError(f"exit code {process.returncode}: {lines[-1]}")
    cpu_s = max(_children_s() - own_s, sum(seen_s.values()))
    return Timing(began_s=began_s, wall_s=wall_s, cpu_s=cpu_s)


def _has_ended(process: psutil.Popen) -> bool:
    """Return True as soon as a process has ended, False after `POLL_S`."""
    try:
        process.wait(POLL_S)
    except psutil.TimeoutExpired:
        return False
    return True


def _end(process: psutil.Popen) -> None:
    """Kill a process and its descendants."""
    for each in (*process.children(recursive=True), process):
        each.kill()


def _children_s() -> float:
    times = os.times()
    return times.children_user + times.children_system


def _look(process: psutil.Popen, seen_s: dict[int, float]) -> None:
    """Note the processor time of a process and its descendants, in place."""
    try:
        for each in (process, *process.children(recursive=True)):
            used = each.cpu_times()
            seen_s[each.pid] = used.user + used.system
    except psutil.Error:  # it ended meanwhile
        pass


@final
@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a program runs: a folder of its own, and the URL of a database, None for trials in memory."""

    folder: Path
    data: Path
    seed: int
    url: str | None


Program: TypeAlias = Callable[[Search, Place, Mapping[str, str]], Timing]
"""What runs a search at a place, with the environment of its process."""


def run_hpsearch(search: Search, place: Place, environment: Mapping[str, str]) -> Timing:
    """Run `hpsearch study run` with one worker."""
    (place.folder / "study.toml").write_text(search.study_file(place.seed), encoding="utf-8")
    command = [sys.executable, "-m", "hpsearch", "study", "run", "study.toml", "--workers", "1"]
    command += ["--report", "report.html", "--storage", hpsearch_url(place)]
    return timed(command, folder=place.folder, environment=environment)


def hpsearch_url(place: Place) -> str:
    """Return the database of hpsearch: an SQLite file if the others need none."""
    return place.url or f"sqlite:///{place.folder}/hpsearch.db"


def hpsearch_trials(search: Search, place: Place) -> tuple[PeerTrial, ...]:
    """Return the trials of hpsearch from its database."""
    store = open_store(hpsearch_url(place))
    try:
        return tuple(_as_peer(trial) for trial in store.trials.all(store.studies.get(search.source)))
    finally:
        store.close()


def _as_peer(trial: Trial) -> PeerTrial:
    assert trial.started is not None
    assert trial.finished is not None
    return PeerTrial(
        started_s=trial.started.timestamp(),
        ended_s=trial.finished.timestamp(),
        epochs=trial.epochs,
        accuracy=trial.value if trial.state is TrialState.COMPLETE else None,
    )


def run_peer(
    module: str, search: Search, place: Place, environment: Mapping[str, str], python: str = sys.executable
) -> Timing:
    """Run a peer's program with an interpreter."""
    write_task(search.peer_task(place.data, place.seed, place.url), place.folder / "task.json")
    command = [python, "-m", f"tests.benchmarks.peers.{module}", "task.json", "trials.json"]
    return timed(command, folder=place.folder, environment=environment)


def programs(ray_python: str | None) -> dict[str, Program]:
    """Return the programs that keep their trials in memory, in the order in which they run."""
    own: dict[str, Program] = {HPSEARCH: run_hpsearch}
    modules = {"Optuna + PyTorch": "optuna_torch", "Optuna + scikit-learn": "optuna_sklearn"}
    for title, module in modules.items():
        own[title] = _peer(module, sys.executable)
    if ray_python is not None:
        own["Ray Tune + PyTorch"] = _peer("ray_tune", ray_python)
    return own


def _peer(module: str, python: str) -> Program:
    def run(search: Search, place: Place, environment: Mapping[str, str]) -> Timing:
        return run_peer(module, search, place, environment, python)

    return run


def program_environment() -> dict[str, str]:
    """Return the environment of all programs: one BLAS thread, and the modules of this repository."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    unwanted = ("HPSEARCH_STORAGE", "OPTUNA_STORAGE")
    return {k: v for k, v in os.environ.items() if k not in unwanted} | {"PYTHONPATH": path}


def write_data(search: Search, seed: int, path: Path) -> int:
    """Write the data of hpsearch's study with that seed for the peers; return the number of validation examples."""
    data = prepare(DataSpec(source=search.source), seed=seed, precision="float32", environment=os.environ)
    np.savez(
        path,
        training_inputs=data.training.inputs,
        training_targets=data.training.targets.astype(np.int64),
        validation_inputs=data.validation.inputs,
        validation_targets=data.validation.targets.astype(np.int64),
    )
    return len(data.validation.targets)


MEMORY: Final = "in memory"


def compare(
    search: Search,
    *,
    seed: int,
    folder: Path,
    chosen: Mapping[str, Program],
    has_database: bool,
    note: Callable[[str], None],
) -> Iterator[Measured]:
    """Yield a search of each program, without a database or on a new one of PostgreSQL (SQLite if there is none).

    hpsearch always has a database: without one for the others it is an SQLite file. `note` receives the failures.
    """
    data = folder / f"{search.source}-{seed}.npz"
    examples = write_data(search, seed, data)
    for title, run in chosen.items():
        own = folder / f"{search.source}-{seed}-{has_database}-{title}"
        own.mkdir()
        with ExitStack() as stack:
            url, kind = None, MEMORY
            if has_database:
                url = stack.enter_context(on_server("PostgreSQL"))
                kind = "SQLite" if url is None else "PostgreSQL"
                url = url or f"sqlite:///{own}/{title.partition(' ')[0]}.db"
            place = Place(folder=own, data=data, seed=seed, url=url)
            try:
                timing = run(search, place, program_environment())
            except ProgramError as error:
                note(f"{title}, {search.title}: {error}")
                continue
            is_own = title == HPSEARCH
            yield Measured(
                program=title,
                search=search,
                storage="SQLite" if is_own and kind == MEMORY else kind,
                has_database=has_database,
                seed=seed,
                timing=timing,
                examples=examples,
                trials=hpsearch_trials(search, place) if is_own else read_trials(own / "trials.json"),
            )


def targets(found: Iterable[Measured]) -> dict[tuple[str, int], float]:
    """Return the target of each data set and seed: the best accuracy of any program less 0.2 points."""
    best: dict[tuple[str, int], float] = {}
    for each in found:
        key = each.search.source, each.seed
        best[key] = max(best.get(key, 0.0), each.best - POINTS)
    return best


def difference_interval(one: tuple[float, int], other: tuple[float, int]) -> Interval:
    """Return the interval (95 %) of the difference of two accuracies, each with its number of examples.

    Newcombe (1998), "Interval estimation for the difference between independent proportions", method 10. If the
    examples are the same, the interval is wider than it need be.
    """
    (low, high), (other_low, other_high) = wilson_interval(*one), wilson_interval(*other)
    difference = one[0] - other[0]
    return (
        difference - math.hypot(one[0] - low, other_high - other[0]),
        difference + math.hypot(high - one[0], other[0] - other_low),
    )


def table(found: Sequence[Measured]) -> Iterator[str]:
    """Yield the lines of the Markdown table; `found` is in groups of the same search and storage."""
    yield "| search | program | s | CPU s | epochs | best | equal | s to | epochs to | ratio |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    goals = targets(found)
    groups: dict[tuple[str, bool], dict[str, list[Measured]]] = {}
    for each in found:
        key = each.search.title, each.has_database
        groups.setdefault(key, {}).setdefault(each.program, []).append(each)
    for (title, has_database), group in groups.items():
        where = f"on {next(iter(group.values()))[0].storage}" if has_database else MEMORY
        for program, own in group.items():
            cells = _cells(own, group.get(HPSEARCH, []), goals)
            name = f"{program} (SQLite)" if program == HPSEARCH and not has_database else program
            yield "| " + " | ".join([f"{title}, {where}", name, *cells]) + " |"


def _cells(
    own: Sequence[Measured], ours: Sequence[Measured], goals: Mapping[tuple[str, int], float]
) -> list[str]:
    """Return the cells of one program, next to hpsearch's searches."""
    reached = [until for each in own if (until := each.until(_goal(each, goals))) is not None]
    count = f" ({len(reached)} of {len(own)})"
    return [
        f"{fmean(each.timing.wall_s for each in own):.1f}",
        f"{fmean(each.timing.cpu_s for each in own):.1f}",
        f"{fmean(each.epochs for each in own):,.0f}",
        f"{100 * fmean(each.best for each in own):.2f}",
        _equality(own, ours),
        (f"{fmean(seconds for seconds, _ in reached):.1f}" if reached else "never") + count,
        f"{fmean(epochs for _, epochs in reached):,.0f}" if reached else "",
        _ratios(own, ours, goals),
    ]


def _goal(measured: Measured, goals: Mapping[tuple[str, int], float]) -> float:
    return goals[measured.search.source, measured.seed]


def _equality(own: Sequence[Measured], ours: Sequence[Measured]) -> str:
    pairs = [(ours_of[each.seed], each) for each in own if each.seed in (ours_of := _by_seed(ours))]
    if not pairs or own[0].program == HPSEARCH:
        return ""
    examples = sum(each.examples for _, each in pairs)
    ours_best, best = (fmean(pair[i].best for pair in pairs) for i in (0, 1))
    low, high = difference_interval((best, examples), (ours_best, examples))
    word = "yes" if low <= 0 <= high else "no"
    return f"{word} ({100 * low:+.1f} to {100 * high:+.1f})"


def _ratios(own: Sequence[Measured], ours: Sequence[Measured], goals: Mapping[tuple[str, int], float]) -> str:
    pairs = [(ours_of[each.seed], each) for each in own if each.seed in (ours_of := _by_seed(ours))]
    if not pairs or own[0].program == HPSEARCH:
        return ""
    times = [
        (mine[0], theirs[0])
        for a, b in pairs
        if (mine := a.until(_goal(a, goals))) and (theirs := b.until(_goal(b, goals)))
    ]
    wall, cpu = (
        sum(getattr(b.timing, name) for _, b in pairs) / sum(getattr(a.timing, name) for a, _ in pairs)
        for name in ("wall_s", "cpu_s")
    )
    to = f"{sum(b for _, b in times) / sum(a for a, _ in times):.1f}" if times else "-"
    return f"{wall:.1f} / {cpu:.1f} / {to}"


def _by_seed(found: Sequence[Measured]) -> dict[int, Measured]:
    return {each.seed: each for each in found}


@final
@dataclass(frozen=True, kw_only=True)
class StartUp:
    """What `study run` of two trials takes, the processor time of its imports alone, and the size of a report."""

    timing: Timing
    imports_cpu_s: float
    report_bytes: int


IMPORTS: Final = """\
import contextlib, importlib, sys
for name in sys.stdin.read().split():
    with contextlib.suppress(Exception):
        importlib.import_module(name)
"""
"""A program that imports the modules that its input names."""


def start_up(search: Search, folder: Path) -> StartUp:
    """Measure `study run` of two trials in a new database, and a program that imports the same modules alone."""
    two = replace(search, trials=2)
    places = [Place(folder=folder / name, data=folder, seed=0, url=None) for name in ("plain", "traced")]
    for place in places:
        place.folder.mkdir(parents=True)
    timing = run_hpsearch(two, places[0], program_environment())
    run_hpsearch(two, places[1], program_environment() | {"PYTHONPROFILEIMPORTTIME": "1"})
    lines = (places[1].folder / "output.txt").read_text(encoding="utf-8").splitlines()
    traced = [line for line in lines if line.startswith("import time:")][1:]  # the first one is the header
    modules = [name for line in traced if (name := line.rpartition("|")[2].strip()) != "__main__"]
    began_s = _children_s()
    subprocess.run(
        [sys.executable, "-c", IMPORTS],
        input="\n".join(modules),
        env=program_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return StartUp(
        timing=timing,
        imports_cpu_s=_children_s() - began_s,
        report_bytes=(places[0].folder / "report.html").stat().st_size,
    )
