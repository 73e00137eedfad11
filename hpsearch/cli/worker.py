"""`hpsearch worker`: processes that take trials from a database and train them."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from hpsearch.cli.exit import exit_code_of, forget_databases
from hpsearch.cli.options import (
    CommandGroup,
    Events,
    Format,
    OutputFormat,
    Rows,
    Storage,
    complete_study_name,
    complete_worker,
)
from hpsearch.cli.output import Listing, write_line, write_listing, write_message
from hpsearch.study.schema import MOST_FLEET, MOST_INTEGER
from hpsearch.workflows.default_storage import DEFAULT_STORAGE, is_missing

if TYPE_CHECKING:
    from hpsearch.storage.records import WorkerRecord
    from hpsearch.worker.service import ServiceOptions

app = typer.Typer(cls=CommandGroup, no_args_is_help=True, help="Take trials from a database and train them.")

_PLACEMENT: Final = ("engine", "node", "job", "log")

_FIELDS: Final = (
    *("id", "state", "host", "process", "version", "started", "seen", "trains"),
    *_PLACEMENT,
    "problem",
)


@app.callback()
def worker() -> None:
    """Take trials from a database and train them."""


@app.command()
def start(
    *,
    study: Annotated[
        str | None,
        typer.Option(
            "--study",
            metavar="NAME",
            help="Work on this study only.  [default: every open one, those of higher priority first]",
            autocompletion=complete_study_name,
        ),
    ] = None,
    exit_when_idle: Annotated[
        bool, typer.Option("--exit-when-idle", help="End when there is nothing left to do.")
    ] = False,
    cohort: Rows = None,
    name: Annotated[str | None, typer.Option("--name", hidden=True)] = None,
    parent: Annotated[int | None, typer.Option("--parent", min=1, max=MOST_INTEGER, hidden=True)] = None,
    lease: Annotated[
        float | None, typer.Option("--lease", metavar="SECONDS", min=0.5, max=86_400, hidden=True)
    ] = None,
    events: Events = None,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Take trials from the open studies of the database and train them, with one core.

    Start one for each core, on as many machines as can reach the database. If a study of higher priority appears, a
    worker finishes the trials that it has and switches to that study. Ctrl-C once writes what is finished and hands the
    rest back; twice stops at once.

    Example: hpsearch worker start --study digits --exit-when-idle
    """
    from hpsearch.cli.options import event_stream
    from hpsearch.worker.loop import LEASE_S
    from hpsearch.worker.machine import placement_of
    from hpsearch.worker.service import ServiceOptions, work
    from hpsearch.worker.shutdown import do_nothing

    with event_stream(events) as emit:
        options = ServiceOptions(
            url=storage,
            # A parent shows the progress, unless it keeps a log of each worker.
            notify=write_message if parent is None or placement_of(os.environ).log else do_nothing,
            study=study,
            exit_when_idle=exit_when_idle,
            rows=cohort,
            name=name,
            parent=parent,
            lease_s=LEASE_S if lease is None else lease,
            emit=emit,
        )
        code = work(options)
    raise typer.Exit(code)


def work_in_fork(options: "ServiceOptions") -> int:
    """Run a worker in a fork of another command, and return its exit code, as `worker start` does."""
    from hpsearch.worker.service import work

    forget_databases()
    try:
        return work(options)
    except BaseException as error:  # noqa: BLE001 # this is the boundary
        return exit_code_of(error)


@app.command()
def fleet(
    study: Annotated[
        str | None,
        typer.Argument(
            metavar="[STUDY]",
            help="Work on this study only, and end with it.  [default: every open one, until Ctrl-C]",
            autocompletion=complete_study_name,
        ),
    ] = None,
    *,
    engine: Annotated[
        str, typer.Option("--on", metavar="ENGINE", help="Where workers run: local, dask or slurm.")
    ] = "local",
    count: Annotated[
        int | None,
        typer.Option("--count", metavar="N", min=1, max=MOST_FLEET, help="The number of workers."),
    ] = None,
    least: Annotated[
        int | None,
        typer.Option("--min", metavar="N", min=0, max=MOST_FLEET, help="Keep at least so many workers."),
    ] = None,
    most: Annotated[
        int | None,
        typer.Option(
            "--max", metavar="N", min=1, max=MOST_FLEET, help="One worker for each unfinished trial, up to N."
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", metavar="tcp://HOST:PORT", help="The scheduler of --on dask."),
    ] = None,
    job: Annotated[
        list[str] | None,
        typer.Option(
            "--job",
            metavar="KEY=VALUE",
            help="A parameter of submitit for the jobs of --on slurm, such as slurm_partition=short.",
        ),
    ] = None,
    cohort: Rows = None,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Keep workers on an engine, such as a Dask cluster or SLURM, and replace those that are lost.

    The engine places the workers, and the database gives them trials. With --min and --max their number follows the
    unfinished trials. Ctrl-C drains all of them.

    Example: hpsearch worker fleet digits --on slurm --count 64
    """
    from hpsearch.cli.progress import until_stopped
    from hpsearch.errors import HpsearchError
    from hpsearch.worker.shutdown import INTERRUPTED, StopRequest
    from hpsearch.workflows.fleet import FleetOptions, run_fleet

    options = FleetOptions(
        url=storage,
        engine=engine,
        count=count,
        least=least,
        most=most,
        study=study,
        rows=cohort,
        scheduler=scheduler,
        parameters=_job_parameters(job or ()),
    )
    stop = StopRequest()
    with until_stopped() as listener:
        done = run_fleet(options, stop=stop, listener=listener)
    write_line(done.sentence)
    if stop.is_requested:
        raise typer.Exit(INTERRUPTED)
    if done.problem is not None:
        raise HpsearchError(done.problem)


def _job_parameters(words: Sequence[str]) -> dict[str, Any]:
    """Return `KEY=VALUE` words as parameters; a value that is a whole number is one. Raises BadParameter."""
    parameters: dict[str, Any] = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not sign or not key:
            raise typer.BadParameter(f"must be KEY=VALUE (got {word})")
        parameters[key] = int(value) if value.isascii() and value.isdecimal() else value
    return parameters


@app.command("list")
def list_workers(form: OutputFormat = Format.TABLE, storage: Storage = DEFAULT_STORAGE) -> None:
    """List the workers of the database with their trials. Lost workers have not been seen for half a minute.

    Example: hpsearch worker list --format json
    """
    from hpsearch.storage.store import open_store

    if is_missing(storage):
        write_message(f"There is no database yet: `hpsearch study create FILE` makes {storage}")
        write_listing(_workers_listing([]), form)
        return
    with open_store(storage, foreign=True) as store:
        workers = store.workers.all()
    if not workers:
        write_message("No workers are running: `hpsearch worker start` starts one")
    write_listing(_workers_listing(workers), form)


@app.command()
def stop(
    worker: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="A worker, as `worker list` names it.", autocompletion=complete_worker
        ),
    ],
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Return when the worker has ended.")] = False,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Ask a worker on any machine to store what is finished, hand the rest back, and end.

    Example: hpsearch worker stop node7-4711-9f3c --wait
    """
    from hpsearch.storage.store import open_store
    from hpsearch.workflows.workers import stop_worker

    with open_store(storage, foreign=True) as store:
        stop_worker(store, worker, wait=wait, notify=write_line)


def _workers_listing(workers: Sequence["WorkerRecord"]) -> Listing:
    """Return workers with their trials; in the table with their placements and problems, if any has one."""
    from hpsearch.analysis.formats import format_time

    heads = ["worker", "state", "host", "process", "version", "started", "last seen", "trains"]
    rows = [
        [
            worker.identity.name,
            worker.state,
            worker.identity.host,
            str(worker.identity.process_id),
            worker.identity.version,
            format_time(worker.started),
            format_time(worker.seen),
            ", ".join(f"{study} ({trials})" for study, trials in worker.running.items()),
        ]
        for worker in workers
    ]
    objects = [_object(worker) for worker in workers]
    for fields in (_PLACEMENT, ("problem",)):
        if any(item[field] for item in objects for field in fields):
            heads += fields
            rows = [
                [*row, *(item[field] or "" for field in fields)]
                for row, item in zip(rows, objects, strict=True)
            ]
    return Listing(objects=objects, heads=heads, rows=rows, right=frozenset({"process"}), fields=_FIELDS)


def _object(worker: "WorkerRecord") -> dict[str, Any]:
    from hpsearch.analysis.json_objects import moment_text

    identity = worker.identity
    values = (
        identity.name,
        worker.state,
        identity.host,
        identity.process_id,
        identity.version,
        moment_text(worker.started),
        moment_text(worker.seen),
        [{"study": study, "trials": trials} for study, trials in worker.running.items()],
        *(getattr(identity.placement, field) for field in _PLACEMENT),
        worker.problem,
    )
    return dict(zip(_FIELDS, values, strict=True))
