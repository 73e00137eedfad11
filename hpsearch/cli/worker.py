"""`hpsearch worker`: processes that take trials from a database and train them."""

from typing import Annotated

import typer

from hpsearch.cli.options import DEFAULT_STORAGE, Rows, Storage, complete_study_name

app = typer.Typer(no_args_is_help=True, help="Take trials from a database and train them.")


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
            help="Work on this study only.  [default: every open one, the oldest first]",
            autocompletion=complete_study_name,
        ),
    ] = None,
    exit_when_idle: Annotated[
        bool, typer.Option("--exit-when-idle", help="End when there is nothing left to do.")
    ] = False,
    cohort: Rows = None,
    name: Annotated[str | None, typer.Option("--name", hidden=True)] = None,
    parent: Annotated[int | None, typer.Option("--parent", hidden=True)] = None,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Take trials from the open studies of the database and train them, with one core.

    Start one for each core, on as many machines as can reach the database. Ctrl-C once writes what is
    finished and hands the rest back; twice stops at once.

    Example: hpsearch worker start --study digits --exit-when-idle
    """
    from hpsearch.cli.output import say
    from hpsearch.worker.shift import ShiftOptions, work

    options = ShiftOptions(
        url=storage,
        tell=say if parent is None else _tell_nobody,
        study=study,
        exit_when_idle=exit_when_idle,
        rows=cohort,
        name=name,
        parent=parent,
    )
    raise typer.Exit(work(options))


def _tell_nobody(_: str) -> None:
    """Leave what happens to the parent, which shows what matters."""
