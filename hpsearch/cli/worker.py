"""`hpsearch worker`: processes that take trials from a database and train them."""

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
from hpsearch.study.schema import MOST_INTEGER
from hpsearch.workflows.default_storage import DEFAULT_STORAGE, is_missing

if TYPE_CHECKING:
    from hpsearch.storage.records import WorkerRecord
    from hpsearch.worker.service import ServiceOptions

app = typer.Typer(cls=CommandGroup, no_args_is_help=True, help="Take trials from a database and train them.")

_FIELDS: Final = ("id", "state", "host", "process", "version", "started", "seen", "trains")


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
    from hpsearch.worker.service import ServiceOptions, work
    from hpsearch.worker.shutdown import do_nothing

    with event_stream(events) as emit:
        options = ServiceOptions(
            url=storage,
            notify=write_message if parent is None else do_nothing,  # the parent shows the progress
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
        write_listing(_workers_listing(store.workers.all()), form)


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
    """Return workers with their trials."""
    from hpsearch.analysis.formats import format_time

    return Listing(
        objects=[_object(worker) for worker in workers],
        heads=("worker", "state", "host", "process", "version", "started", "last seen", "trains"),
        rows=[
            (
                worker.identity.name,
                worker.state,
                worker.identity.host,
                str(worker.identity.process_id),
                worker.identity.version,
                format_time(worker.started),
                format_time(worker.seen),
                ", ".join(f"{study} ({trials})" for study, trials in worker.running.items()),
            )
            for worker in workers
        ],
        right=frozenset({"process"}),
        fields=_FIELDS,
    )


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
    )
    return dict(zip(_FIELDS, values, strict=True))
