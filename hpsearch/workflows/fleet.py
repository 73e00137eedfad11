"""Run a fleet: workers on an engine, supervised until a study ends or the caller stops it."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, final, get_args
from urllib.parse import urlsplit

from hpsearch.analysis.study_state import state_sentence
from hpsearch.errors import HpsearchError, UsageError
from hpsearch.storage.records import Progress
from hpsearch.storage.store import Store, open_store
from hpsearch.study.messages import did_you_mean, format_count
from hpsearch.worker.fleet.launcher import Launcher, WorkerOrder
from hpsearch.worker.fleet.supervision import Fleet, FleetSize
from hpsearch.worker.pool import WorkersFailedError
from hpsearch.worker.shutdown import StopRequest
from hpsearch.workflows.listener import SILENT, Listener

Engine: TypeAlias = Literal["local", "dask", "slurm"]
"""Where the workers of a fleet run."""

_HERE: Final = ("127.0.0.1", "::1", "localhost")


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class FleetOptions:
    """The options of a fleet: `count` workers, or as many from `least` to `most` as the unfinished trials need.

    `study` is the only one to serve, or None for every open one. Each worker trains `rows` trials at once. `scheduler`
    is the address of Dask's; `parameters` are those of SLURM's jobs in submitit's words, such as `slurm_partition`.
    """

    url: str
    engine: str
    count: int | None = None
    least: int | None = None
    most: int | None = None
    study: str | None = None
    rows: int | None = None
    scheduler: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def size(self) -> FleetSize:
        """Return the range of the number of workers. Raises UsageError if the options disagree or lack it."""
        most = self.most if self.most is not None else self.count
        least = self.least if self.least is not None else self.count or 0
        if most is None:
            raise UsageError("--count: must be the number of workers (got none): add --count N, or --max N")
        if self.count is not None and self.most is not None and self.least is not None:
            raise UsageError(
                f"--count: must be left out with --min and --max (got {self.count}): they are the range"
            )
        if least > most:
            raise UsageError(f"--min: must be at most {most}, the largest number of workers (got {least})")
        return FleetSize(least=least, most=most, trials_per_worker=self.rows or 1)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class FleetRun:
    """A fleet that ended: how many workers it `started`, and how many of them failed or were lost by their engine.

    `progress` is that of its study, None for a fleet of all studies.
    """

    started: int
    lost: int
    progress: Progress | None

    @property
    def sentence(self) -> str:
        """What the fleet did, in words."""
        lost = f"; {self.lost:,} failed or were lost" if self.lost else ""
        state = "" if self.progress is None else f"{state_sentence(self.progress)} "
        return f"{state}The fleet started {format_count(self.started, 'worker')}{lost}."

    @property
    def problem(self) -> str | None:
        """Why the study is not finished, or None."""
        if self.progress is None or self.progress.is_done:
            return None
        return f'study "{self.progress.name}": {state_sentence(self.progress)}'


def run_fleet(
    options: FleetOptions, *, stop: StopRequest | None = None, listener: Listener = SILENT
) -> FleetRun:
    """Keep workers on the engine until the study ends or `stop` is requested; return what was started.

    Raises UsageError for wrong options, StudyNotFoundError, EngineUnavailableError, and HpsearchError if workers fail
    repeatedly.
    """
    stop = stop or StopRequest()
    size = options.size()
    _check_engine(options)
    with open_store(options.url, create=options.study is None) as store, ExitStack() as stack:
        study = None if options.study is None else store.studies.get(options.study)
        launcher = _launcher(options, store)
        stack.callback(launcher.close)
        fleet = Fleet(store=store, launcher=launcher, size=size, study=study)
        workers = format_count(size.most, "worker")
        listener.notify(f"Keeps up to {workers} on {options.engine}; Ctrl-C drains them")
        listener.begin(stop)
        try:
            _supervise(fleet, stop, listener)
        except WorkersFailedError as error:
            raise HpsearchError(str(error).removeprefix("Error: ")) from error
        progress = None if fleet.study is None else store.studies.progress(fleet.study)
        return FleetRun(started=fleet.started, lost=fleet.lost, progress=progress)


def _supervise(fleet: Fleet, stop: StopRequest, listener: Listener) -> None:
    """Run the fleet, with a study's progress or, for all studies, with each note as it arises."""
    if fleet.study is None:
        noted = 0

        def notify() -> None:
            nonlocal noted
            for note in fleet.notes[noted:]:
                listener.notify(note)
            noted = len(fleet.notes)

        fleet.run(stop, show=notify)
        notify()
        return
    with listener.watch(fleet.study, stop, fleet.notes) as show:

        def show_progress() -> None:
            if fleet.study is not None:
                show(fleet.store.studies.progress(fleet.study))

        fleet.run(stop, show=show_progress)


def _check_engine(options: FleetOptions) -> None:
    """Raise UsageError with every option that the engine does not have or needs."""
    engines = get_args(Engine)
    if options.engine not in engines:
        near = did_you_mean(options.engine, engines, otherwise=f"choose one of {', '.join(engines)}")
        raise UsageError(f'--on: must be an engine (got "{options.engine}"): {near}')
    problems = []
    if (options.scheduler is None) is (options.engine == "dask"):
        problems.append(
            "--scheduler: must be the address of the Dask scheduler (got none): add --scheduler tcp://HOST:8786"
            if options.scheduler is None
            else f"--scheduler: is for --on dask (got --on {options.engine}): leave it out"
        )
    if options.parameters and options.engine != "slurm":
        problems.append(f"--job: is for --on slurm (got --on {options.engine}): leave it out")
    if problems:
        raise UsageError("\n".join(problems))


def _launcher(options: FleetOptions, store: Store) -> Launcher:
    """Return the launcher of the engine. Each engine's packages are imported only if it is used."""
    order = WorkerOrder(url=store.worker_url, study=options.study, rows=options.rows)
    folder = store.folder / "fleet"
    _check_reachable(options, store)
    match options.engine:
        case "dask":
            from hpsearch.worker.fleet.dask import DaskLauncher

            return DaskLauncher(order, options.scheduler or "")
        case "slurm":
            from hpsearch.worker.fleet.slurm import SlurmLauncher

            return SlurmLauncher(order, folder, parameters=options.parameters)
        case _:
            from hpsearch.worker.fleet.local import LocalLauncher

            return LocalLauncher(order, folder)


def _check_reachable(options: FleetOptions, store: Store) -> None:
    """Raise UsageError if the workers are on other machines and the database is a file of this one."""
    is_here = options.engine == "local" or urlsplit(options.scheduler or "").hostname in _HERE
    if store.is_local and not is_here:
        raise UsageError(
            f"--on {options.engine}: needs a database server that the nodes reach (got {store.url_shown}): "
            "add --storage postgresql://..., see storage/README.md"
        )
