"""`hpsearch trial`: one trial at a time."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from hpsearch.cli.commands import CommandGroup
from hpsearch.cli.options import (
    DEFAULT_STORAGE,
    MOST_INTEGER,
    Format,
    OutputFormat,
    Storage,
    TableFormat,
    complete_study_name,
    trial_number,
)
from hpsearch.cli.output import answer, write_csv, write_json
from hpsearch.study.schema import MOST_EPOCHS

app = typer.Typer(
    cls=CommandGroup, no_args_is_help=True, help="Look at one trial, and decide what becomes of it."
)

StudyOfTrial: TypeAlias = Annotated[
    str, typer.Argument(metavar="STUDY", help="A stored study.", autocompletion=complete_study_name)
]
TrialNumber: TypeAlias = Annotated[
    int, typer.Argument(metavar="NUMBER", parser=trial_number, help="The trial's number.")
]


@app.callback()
def trial() -> None:
    """Look at one trial, and decide what becomes of it."""


@app.command()
def show(
    study: StudyOfTrial,
    number: TrialNumber,
    form: OutputFormat = Format.TABLE,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Show one trial: its parameters, its verdict with evidence and remedy, and the attempts that were lost.

    Example: hpsearch trial show digits 17
    """
    from hpsearch.cli.curves import write_curves
    from hpsearch.cli.single_trial import attempt_object, write_trial
    from hpsearch.report.export import trial_object
    from hpsearch.storage.store import open_store

    with open_store(storage, foreign=True) as store:
        stored = store.any_study(study)
        store.sweep(stored)
        found, attempts = store.trial(stored, number), store.attempts(stored, number)
        series = store.series(stored, [number]).get(number, {})
    if form is Format.TABLE:
        write_trial(found, stored, attempts)
        write_curves(found, stored.spec.metric, series)
        return
    shown = trial_object(found) | {"history": [attempt_object(attempt) for attempt in attempts]}
    if form is Format.JSON:
        write_json(shown)
    else:
        write_csv([shown])


@app.command()
def replay(
    study: StudyOfTrial,
    number: TrialNumber,
    *,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Train it once more with this in place of its own, beside it; may be given again.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="PATH", help="Where to write it.  [default: beside the reports]"),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            "--epochs",
            metavar="N",
            min=1,
            max=MOST_EPOCHS,
            help="How many to train.  [default: to where the trial ended]",
        ),
    ] = None,
    watch: Annotated[
        list[int] | None,
        typer.Option(
            "--watch",
            metavar="UNIT",
            min=0,
            max=MOST_INTEGER,
            help="A unit of the first hidden layer to draw; may be given again.  [default: ten, evenly spread]",
        ),
    ] = None,
    form: Annotated[
        TableFormat, typer.Option("--format", help="How to write what came of it.")
    ] = TableFormat.TABLE,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Train a stored trial again, check it bit for bit, and write a page that shows it from the inside.

    Example: hpsearch trial replay digits 17 --set learning_rate=0.01
    """
    from hpsearch.cli.progress import busy
    from hpsearch.cli.replayed import replay_object, save_replay, write_replay
    from hpsearch.report.file import check_report_path
    from hpsearch.storage.store import open_store
    from hpsearch.study.settings import parse_settings, settings_as_usage_errors
    from hpsearch.training.recording import RecordingOptions
    from hpsearch.worker.replay import ReplayRequest, StoredTrial
    from hpsearch.worker.replay import replay as train_again

    request = ReplayRequest(
        epochs=epochs,
        settings=parse_settings(settings or ()),
        watch=RecordingOptions(units=tuple(watch or ())),
    )
    if output is not None:
        check_report_path(output)
    with open_store(storage, foreign=True) as store:
        found = store.study(study)
        series = store.series(found, [number])
        stored = StoredTrial(study=found, trial=store.trial(found, number), series=series.get(number, {}))
    with busy("Training it again"), settings_as_usage_errors(request.settings):
        made = train_again(stored, request)
    page = save_replay(made, output, storage)
    if form is TableFormat.JSON:
        write_json(replay_object(made, page))
    else:
        write_replay(made, page)


@app.command()
def enqueue(
    study: Annotated[
        str, typer.Argument(metavar="STUDY", help="A stored study.", autocompletion=complete_study_name)
    ],
    *,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A value that is searched; may be given again."),
    ] = None,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Let a configuration of your own be trained next. What is not set is sampled; it counts against the budget.

    Example: hpsearch trial enqueue digits --set learning_rate=0.01
    """
    from hpsearch.cli.conclusion import renew_report
    from hpsearch.cli.enqueuing import enqueue_trial
    from hpsearch.storage.store import open_store

    with open_store(storage, foreign=True) as store:
        enqueue_trial(store, study, settings or ())
        renew_report(store, study, url=storage)


@app.command()
def fail(study: StudyOfTrial, number: TrialNumber, storage: Storage = DEFAULT_STORAGE) -> None:
    """Give up a trial that another Optuna client runs, perhaps one that was killed, or that waits: it fails.

    A trial that a worker of ours trains is refused, and what has finished is never changed.

    Example: hpsearch trial fail digits 17
    """
    from hpsearch.cli.conclusion import renew_report
    from hpsearch.storage.keeping import fail_trial
    from hpsearch.storage.store import open_store

    with open_store(storage, create=False) as store:
        changed = fail_trial(store, store.study(study), number)
        renew_report(store, study, url=storage)
    answer(f'Study "{study}": trial {number} {"has failed" if changed else "had failed before"}')


@app.command()
def retry(study: StudyOfTrial, number: TrialNumber, storage: Storage = DEFAULT_STORAGE) -> None:
    """Let workers train a trial that another Optuna client runs, or a failed one's parameters as a new trial.

    A trial that a worker of ours trains is refused, and what has finished is never changed.

    Example: hpsearch trial retry digits 17
    """
    from hpsearch.cli.conclusion import renew_report
    from hpsearch.storage.keeping import retry_trial
    from hpsearch.storage.store import open_store

    with open_store(storage, create=False) as store:
        waiting = retry_trial(store, store.study(study), number)
        renew_report(store, study, url=storage)
    what = (
        f"trial {number} waits" if waiting == number else f"trial {waiting} waits in place of trial {number}"
    )
    answer(f'Study "{study}": {what}')
