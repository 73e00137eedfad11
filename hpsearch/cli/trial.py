"""`hpsearch trial`: one trial at a time."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from hpsearch.cli.options import (
    MOST_INTEGER,
    CommandGroup,
    Format,
    OutputFormat,
    Storage,
    TableFormat,
    complete_study_name,
    trial_number,
)
from hpsearch.cli.output import answer, say, write_csv, write_json
from hpsearch.study.schema import MOST_EPOCHS
from hpsearch.workflows.default_storage import DEFAULT_STORAGE

app = typer.Typer(
    cls=CommandGroup, no_args_is_help=True, help="Inspect, replay, enqueue, retry or give up one trial."
)

StudyOfTrial: TypeAlias = Annotated[
    str, typer.Argument(metavar="STUDY", help="A stored study.", autocompletion=complete_study_name)
]
TrialNumber: TypeAlias = Annotated[
    int, typer.Argument(metavar="NUMBER", parser=trial_number, help="The trial's number.")
]


@app.callback()
def trial() -> None:
    """Inspect, replay, enqueue, retry or give up one trial."""


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
    from hpsearch.analysis.json_objects import trial_object
    from hpsearch.cli.trial_curves import write_curves
    from hpsearch.cli.trial_rendering import attempt_object, write_trial
    from hpsearch.storage.store import open_store
    from hpsearch.workflows.snapshot import read_series

    with open_store(storage, foreign=True) as store:
        stored = store.studies.get_any(study)
        store.queue.sweep(stored)
        found, attempts = store.trials.get(stored, number), store.trials.attempts(stored, number)
        series = read_series(store, stored, [number], notify=say) if form is Format.TABLE else {}
    if form is Format.TABLE:
        write_trial(found, stored, attempts)
        write_curves(found, stored, series.get(number, {}))
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
            help="Also train it with this in place of its own value; may be given again.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="PATH", help="Where to write it.  [default: next to the reports]"),
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
        TableFormat, typer.Option("--format", help="The format of the result.")
    ] = TableFormat.TABLE,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Train a stored trial again, check it bit for bit, and write a page that shows it from the inside.

    Example: hpsearch trial replay digits 17 --set learning_rate=0.01
    """
    from hpsearch.cli.progress import TERMINAL
    from hpsearch.cli.trial_rendering import replay_object, write_replay
    from hpsearch.report.file import check_report_path
    from hpsearch.storage.store import open_store
    from hpsearch.study.settings import parse_settings
    from hpsearch.training.recording import RecordingOptions
    from hpsearch.worker.replay import ReplayRequest
    from hpsearch.workflows.replay import read_trial, replay_trial
    from hpsearch.workflows.report import write_replay_page

    request = ReplayRequest(
        epochs=epochs,
        settings=parse_settings(settings or ()),
        watch=RecordingOptions(units=tuple(watch or ())),
    )
    if output is not None:
        check_report_path(output)
    with open_store(storage, foreign=True) as store:
        stored = read_trial(store, study, number, notify=say)
    made = replay_trial(stored, request, listener=TERMINAL)
    page = write_replay_page(made, output, storage, listener=TERMINAL)
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
    """Enqueue a configuration of your own, to be trained next. Other values are sampled; it counts against the budget.

    Example: hpsearch trial enqueue digits --set learning_rate=0.01
    """
    from hpsearch.cli.report import renew_report
    from hpsearch.cli.trial_rendering import write_enqueued
    from hpsearch.storage.store import open_store
    from hpsearch.workflows.enqueue import enqueue as enqueue_trial

    with open_store(storage, foreign=True) as store:
        write_enqueued(enqueue_trial(store, study, settings or ()))
        renew_report(store, study, url=storage)


@app.command()
def fail(study: StudyOfTrial, number: TrialNumber, storage: Storage = DEFAULT_STORAGE) -> None:
    """Give up a trial that another Optuna client runs, perhaps one that was killed, or that waits: it fails.

    Trials that a worker of hpsearch trains are refused, and finished trials are never changed.

    Example: hpsearch trial fail digits 17
    """
    from hpsearch.cli.report import renew_report
    from hpsearch.storage.store import open_store

    with open_store(storage, foreign=True) as store:
        changed = store.queue.fail(store.studies.get(study), number)
        answer(f'Study "{study}": trial {number} {"has failed" if changed else "had failed before"}')
        renew_report(store, study, url=storage)


@app.command()
def retry(study: StudyOfTrial, number: TrialNumber, storage: Storage = DEFAULT_STORAGE) -> None:
    """Let workers train a trial that another Optuna client runs, or a failed one's parameters as a new trial.

    Trials that a worker of hpsearch trains are refused, and finished trials are never changed.

    Example: hpsearch trial retry digits 17
    """
    from hpsearch.cli.report import renew_report
    from hpsearch.cli.trial_rendering import write_budget_hint
    from hpsearch.storage.store import open_store

    with open_store(storage, foreign=True) as store:
        stored = store.studies.get(study)
        retried = store.queue.retry(stored, number)
        waits = "already waits" if retried.waited else "waits"
        place = "" if retried.number == number else f" in place of trial {number}"
        answer(f'Study "{study}": trial {retried.number} {waits}{place}')
        write_budget_hint(stored, store.studies.progress(stored))
        renew_report(store, study, url=storage)
