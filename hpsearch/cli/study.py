"""`hpsearch study`: make studies, run them, look at them, delete them."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from hpsearch.cli.commands import CommandGroup
from hpsearch.cli.options import (
    MOST_INTEGER,
    MOST_WORKERS,
    Format,
    NewName,
    OutputFormat,
    Priority,
    Rows,
    Storage,
    StudyName,
    Trials,
    complete_study_name,
)
from hpsearch.cli.output import answer, say, write_csv, write_json, write_listing
from hpsearch.trials import TrialState
from hpsearch.workflows.default_storage import DEFAULT_STORAGE, is_unmade

app = typer.Typer(cls=CommandGroup, no_args_is_help=True, help="Create, run, inspect and delete studies.")


@app.command()
def create(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A study file (TOML), or an example by its name.")
    ],
    *,
    name: NewName = None,
    trials: Trials = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would run, and store nothing.")
    ] = False,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Check a study file and store the study, for workers to take up.

    Example: hpsearch study create digits --dry-run
    """
    from hpsearch.cli.progress import TERMINAL
    from hpsearch.storage.store import open_store
    from hpsearch.workflows import studies

    if dry_run:
        from hpsearch.cli.dry_run import write_plan

        write_plan(studies.dry_run(file, name=name, trials=trials, listener=TERMINAL))
        return
    from hpsearch.cli.conclusion import renew_report

    stored = studies.create(storage, file, name=name, trials=trials, listener=TERMINAL)
    answer(stored.sentence)
    if not stored.is_new and trials is not None:
        with open_store(storage) as store:
            renew_report(store, stored.study.spec.name, url=storage)


@app.command()
def run(
    study: Annotated[
        str,
        typer.Argument(
            metavar="FILE|NAME",
            help="A study file, a stored study, or an example by its name.",
            autocompletion=complete_study_name,
        ),
    ],
    *,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            metavar="N",
            min=1,
            max=MOST_WORKERS,
            help="Worker processes.  [default: one per core]",
        ),
    ] = None,
    name: NewName = None,
    trials: Trials = None,
    cohort: Rows = None,
    rounds: Annotated[
        int,
        typer.Option(
            "--rounds",
            metavar="N",
            min=1,
            max=100,
            help="Narrow and run again, until so many rounds are run.",
        ),
    ] = 1,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report", metavar="PATH", help="Where to write the report.  [default: next to the database]"
        ),
    ] = None,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Run a study on this machine: create it if needed, show progress, print the best, write the report.

    Ctrl-C once writes what is finished and hands the rest back; the same command continues from there. Twice
    stops at once. With --rounds 3 it narrows the search by its results, runs that as NAME-round-2, and so on.

    Example: hpsearch study run digits --workers 2
    """
    from hpsearch.cli.running import run_all_rounds, run_study
    from hpsearch.workflows.running import RunOptions, found_target

    options = RunOptions(url=storage, workers=workers, name=name, trials=trials, cohort=cohort, report=report)
    study = found_target(study, storage)
    if rounds > 1:
        raise typer.Exit(run_all_rounds(study, options, rounds=rounds))
    raise typer.Exit(run_study(study, options))


@app.command("list")
def list_studies(form: OutputFormat = Format.TABLE, storage: Storage = DEFAULT_STORAGE) -> None:
    """List the studies of the database, oldest first: also those that Optuna made, and those that cannot be read.

    Example: hpsearch study list --format json
    """
    from hpsearch.cli.listings import studies_listing
    from hpsearch.storage.store import open_store

    if is_unmade(storage):
        say(f"There is no database yet: `hpsearch study create FILE` makes {storage}")
        write_listing(studies_listing([]), form)
        return
    with open_store(storage, foreign=True) as store:
        write_listing(studies_listing(store.listing()), form)


@app.command()
def show(name: StudyName, form: OutputFormat = Format.TABLE, storage: Storage = DEFAULT_STORAGE) -> None:
    """Show where a study stands, the ledger of its epochs, and what to change before the next search.

    Example: hpsearch study show digits
    """
    from hpsearch.analysis.json_objects import study_object
    from hpsearch.analysis.summary import summary_object
    from hpsearch.cli.confirming import confirmed_objects
    from hpsearch.cli.family import parent_object, write_parent
    from hpsearch.cli.overview import write_foreign_overview, write_overview
    from hpsearch.cli.sealed import opened_object, tell_if_opened
    from hpsearch.storage.store import open_store

    with open_store(storage, foreign=True) as store:
        study = store.any_study(name)
        progress, found, evaluations = store.progress(study), store.trials(study), store.evaluations(study)
        if study.foreign is not None:
            write_foreign_overview(study, progress, found, form)
            return
        if form is Format.TABLE:
            write_overview(study, progress, found, evaluations)
            write_parent(store, study)
            tell_if_opened(store, study, answer)
            return
        shown = study_object(study, progress) | summary_object(study, found, evaluations)
        shown |= confirmed_objects(study, found, evaluations)
        shown |= {"parent": parent_object(store, study), "test": opened_object(store.unsealing(study))}
    if form is Format.JSON:
        write_json(shown)
    else:
        write_csv([shown])


@app.command()
def best(
    name: StudyName,
    *,
    count: Annotated[
        int, typer.Option("--count", metavar="N", min=1, max=MOST_INTEGER, help="How many trials.")
    ] = 5,
    form: OutputFormat = Format.TABLE,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """List the best configurations of a study, best first. Only complete trials are ranked.

    Those that `study confirm` trained with fresh seeds come first, by their means. Of a study of Optuna's with several
    objectives these are the trials that no other one beats in all of them.

    Example: hpsearch study best digits --count 10 --format csv
    """
    from hpsearch.analysis.best_trials import leading_trials
    from hpsearch.cli.conclusion import write_best
    from hpsearch.cli.listings import best_listing
    from hpsearch.cli.sealed import tell_if_opened
    from hpsearch.storage.store import open_store

    with open_store(storage, foreign=True) as store:
        study = store.any_study(name)
        store.sweep(study)
        found, evaluations = store.trials(study), store.evaluations(study)
        ranked = leading_trials(found, study, evaluations, count=count)
        tell_if_opened(store, study, say)
    if form is Format.TABLE and ranked:
        write_best(study, found, evaluations, count)
        answer()
    if not ranked:
        say(f'No trial of "{name}" is complete with a finite result yet.')
    write_listing(best_listing(ranked, study, evaluations), form)


@app.command()
def configurations(
    name: StudyName, form: OutputFormat = Format.TABLE, storage: Storage = DEFAULT_STORAGE
) -> None:
    """List the exact configurations of a study with their results over seeds, the best mean first.

    The interval is of the mean, at 95 %, over the complete trials of a configuration.

    Example: hpsearch study configurations relu-learning-rates
    """
    from hpsearch.analysis.configurations import configuration_rows
    from hpsearch.cli.listings import configurations_listing
    from hpsearch.storage.store import open_store

    with open_store(storage, foreign=True) as store:
        study = store.any_study(name)
        store.sweep(study)
        rows = configuration_rows(study, store.trials(study))
    if not rows:
        say(f'"{name}" searches, so it has no [[configurations]]: hpsearch study best {shlex.quote(name)}')
    write_listing(configurations_listing(rows, study), form)


@app.command()
def trials(
    name: StudyName,
    *,
    state: Annotated[
        list[TrialState] | None, typer.Option("--state", help="Only these; may be given again.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", metavar="N", min=1, max=MOST_INTEGER, help="At most so many, the first by number."
        ),
    ] = None,
    form: OutputFormat = Format.TABLE,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """List the trials of a study by number, each with its verdict.

    Example: hpsearch study trials digits --state pruned --limit 20
    """
    from hpsearch.cli.listings import trials_listing
    from hpsearch.storage.store import open_store

    with open_store(storage, foreign=True) as store:
        study = store.any_study(name)
        store.sweep(study)
        chosen = [trial for trial in store.trials(study) if not state or trial.state in state]
    write_listing(trials_listing(chosen[:limit], study), form)


@app.command()
def edit(
    name: StudyName, *, trials: Trials = None, priority: Priority = None, storage: Storage = DEFAULT_STORAGE
) -> None:
    """Raise or lower a study's budget or its priority; workers apply it from their next claim on.

    Trials that have finished or are in training stay, even if they are more than the new budget.

    Example: hpsearch study edit digits --trials 400 --priority 5
    """
    from hpsearch.cli.conclusion import renew_report
    from hpsearch.cli.editing import write_edited
    from hpsearch.storage.store import open_store
    from hpsearch.workflows import studies

    with open_store(storage, foreign=True) as store:
        write_edited(studies.edit(store, name, trials=trials, priority=priority))
        renew_report(store, name, url=storage)


@app.command()
def pause(name: StudyName, storage: Storage = DEFAULT_STORAGE) -> None:
    """Stop workers from taking more trials of a study. Trials in training run to their end.

    Example: hpsearch study pause digits
    """
    from hpsearch.cli.conclusion import renew_report
    from hpsearch.cli.editing import user, write_paused
    from hpsearch.storage.store import open_store
    from hpsearch.workflows import studies

    with open_store(storage, foreign=True) as store:
        write_paused(studies.pause(store, name, by=user()))
        renew_report(store, name, url=storage)


@app.command()
def resume(name: StudyName, storage: Storage = DEFAULT_STORAGE) -> None:
    """Resume a paused study.

    Example: hpsearch study resume digits
    """
    from hpsearch.cli.conclusion import renew_report
    from hpsearch.cli.editing import write_edited
    from hpsearch.storage.store import open_store
    from hpsearch.workflows import studies

    with open_store(storage, foreign=True) as store:
        write_edited(studies.resume(store, name))
        renew_report(store, name, url=storage)


@app.command()
def delete(
    name: StudyName,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Delete a study and all its trials, permanently. Its report stays.

    Example: hpsearch study delete digits --yes
    """
    from hpsearch.cli.deleting import approve_deletion, write_deletion
    from hpsearch.storage.store import open_store
    from hpsearch.workflows import studies

    with open_store(storage, foreign=True) as store:
        write_deletion(studies.delete(store, name, approve=None if yes else approve_deletion))
