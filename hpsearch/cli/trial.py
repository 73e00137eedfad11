"""`hpsearch trial`: one trial at a time."""

from typing import Annotated

import typer

from hpsearch.cli.options import (
    DEFAULT_STORAGE,
    MOST_INTEGER,
    Format,
    OutputFormat,
    Storage,
    complete_study_name,
)
from hpsearch.cli.output import write_csv, write_json

app = typer.Typer(no_args_is_help=True, help="Look at one trial.")


@app.callback()
def trial() -> None:
    """Look at one trial."""


@app.command()
def show(
    study: Annotated[
        str, typer.Argument(metavar="STUDY", help="A stored study.", autocompletion=complete_study_name)
    ],
    number: Annotated[
        int, typer.Argument(metavar="NUMBER", min=0, max=MOST_INTEGER, help="The trial's number.")
    ],
    form: OutputFormat = Format.TABLE,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Show one trial: its parameters, its verdict with evidence and remedy, and the attempts that were lost.

    Example: hpsearch trial show digits 17
    """
    from hpsearch.cli.single_trial import attempt_object, write_trial
    from hpsearch.report.export import trial_object
    from hpsearch.storage.store import open_store

    with open_store(storage, create=False) as store:
        stored = store.study(study)
        store.sweep(stored)
        found, attempts = store.trial(stored, number), store.attempts(stored, number)
    if form is Format.TABLE:
        write_trial(found, stored, attempts)
        return
    shown = trial_object(found) | {"history": [attempt_object(attempt) for attempt in attempts]}
    if form is Format.JSON:
        write_json(shown)
    else:
        write_csv([shown])
