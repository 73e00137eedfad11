"""`hpsearch study`: make studies, run them, look at them, follow them up, take them elsewhere, delete them."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import hpsearch
from hpsearch.cli.exit import INTERRUPTED
from hpsearch.cli.options import (
    AnswerFormat,
    CommandGroup,
    Epochs,
    Events,
    Format,
    Hours,
    NewName,
    OutputFormat,
    Patience,
    Priority,
    Rows,
    Storage,
    StudyName,
    Trials,
    Until,
    complete_study_name,
    trial_number,
)
from hpsearch.cli.output import write_csv, write_json, write_line, write_listing, write_message
from hpsearch.errors import UsageError, mask
from hpsearch.study.schema import MOST_INTEGER, MOST_ROUNDS, MOST_SEEDS, MOST_WORKERS
from hpsearch.trials import Fate, TrialState
from hpsearch.workflows.default_storage import DEFAULT_STORAGE, is_missing

if TYPE_CHECKING:
    from hpsearch.storage.transfer import CopiedStudy

app = typer.Typer(cls=CommandGroup, no_args_is_help=True, help="Create, run, inspect and delete studies.")

NewStudyName = Annotated[str, typer.Argument(metavar="NEW", help="A name that no study has.")]


@app.command()
def create(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A study file (TOML), or an example by its name.")
    ],
    *,
    name: NewName = None,
    trials: Trials = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan without storing or running anything.")
    ] = False,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Check a study file and store the study, so that workers can train its trials.

    Example: hpsearch study create digits --dry-run
    """
    from hpsearch.cli.progress import TERMINAL
    from hpsearch.storage.store import open_store
    from hpsearch.workflows import studies

    if dry_run:
        from hpsearch.cli.study_rendering import write_plan

        write_plan(studies.dry_run(file, name=name, trials=trials, listener=TERMINAL))
        return
    from hpsearch.cli.report import renew_report

    stored = studies.create(storage, file, name=name, trials=trials, listener=TERMINAL)
    write_line(stored.sentence)
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
            max=MOST_ROUNDS,
            help="Run this many rounds, and narrow the search space after each.",
        ),
    ] = 1,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report", metavar="PATH", help="Where to write the report.  [default: next to the database]"
        ),
    ] = None,
    events: Events = None,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Run a study on this machine: create it if needed, show progress, print the best, write the report.

    Ctrl-C once writes what is finished and hands the rest back; the same command continues from there. Twice
    stops at once. With --rounds 3 it narrows the search by its results, runs that as NAME-round-2, and so on.

    Example: hpsearch study run digits --workers 2
    """
    from hpsearch.cli.options import event_stream
    from hpsearch.cli.study_follow_up import run_all_rounds, run_study
    from hpsearch.cli.worker import work_in_fork
    from hpsearch.workflows.report import prepare_report
    from hpsearch.workflows.run import RunOptions, resolve_target

    with event_stream(events) as emit:
        options = RunOptions(
            url=storage,
            workers=workers,
            name=name,
            trials=trials,
            cohort=cohort,
            report=report,
            emit=emit,
            work_in_fork=work_in_fork,
            meanwhile=prepare_report,
        )
        study = resolve_target(study, storage)
        code = run_all_rounds(study, options, rounds=rounds) if rounds > 1 else run_study(study, options)
    raise typer.Exit(code)


@app.command("list")
def list_studies(form: OutputFormat = Format.TABLE, storage: Storage = DEFAULT_STORAGE) -> None:
    """List the studies of the database, oldest first, including those that Optuna made or that cannot be read.

    Example: hpsearch study list --format json
    """
    from hpsearch.cli.study_rendering import studies_listing
    from hpsearch.storage.store import open_store

    if is_missing(storage):
        write_message(f"There is no database yet: `hpsearch study create FILE` makes {storage}")
        write_listing(studies_listing([]), form)
        return
    with open_store(storage, foreign=True) as store:
        studies = store.studies.listing()
    if not studies:
        write_message("There are no studies yet: `hpsearch study create FILE` makes one")
    write_listing(studies_listing(studies), form)


@app.command()
def show(name: StudyName, form: OutputFormat = Format.TABLE, storage: Storage = DEFAULT_STORAGE) -> None:
    """Show the progress of a study, the ledger of its epochs, and advice for the next search.

    Example: hpsearch study show digits
    """
    from hpsearch.cli.study_follow_up import report_opening
    from hpsearch.cli.study_rendering import (
        write_foreign_overview,
        write_notify,
        write_overview,
        write_parent,
    )
    from hpsearch.storage.store import open_store
    from hpsearch.workflows.json_objects import study_summary

    with open_store(storage, foreign=True) as store:
        study = store.trials.shown_study(store.studies.get_any(name))
        if form is Format.TABLE:
            progress, found, evaluations = (
                store.studies.progress(study),
                store.trials.all(study),
                store.evaluations.all(study),
            )
            if study.foreign is not None:
                write_foreign_overview(study, progress, found)
                return
            write_overview(study, progress, found, evaluations)
            write_parent(store, study)
            write_notify(store, study)
            report_opening(store, study, write_line)
            return
        shown = study_summary(store, study)
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

    Those that `study confirm` trained with fresh seeds come first, by their means. For a study of Optuna's with several
    objectives, these are the trials that no other trial beats in all of them.

    Example: hpsearch study best digits --count 10 --format csv
    """
    from hpsearch.analysis.best_trials import leading_trials
    from hpsearch.cli.study_follow_up import report_opening
    from hpsearch.cli.study_rendering import best_listing, write_best
    from hpsearch.storage.store import open_store

    with open_store(storage, foreign=True) as store:
        study = store.trials.shown_study(store.studies.get_any(name))
        store.queue.sweep(study)
        found, evaluations = store.trials.all(study), store.evaluations.all(study)
        ranked = leading_trials(found, study, evaluations, count=count)
        report_opening(store, study, write_message)
    if form is Format.TABLE and ranked:
        write_best(study, found, evaluations, count)
        write_line()
    if not ranked:
        write_message(f'No trial of "{name}" is complete with a finite result yet.')
    if ranked or form is not Format.TABLE:
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
    from hpsearch.cli.study_rendering import configurations_listing
    from hpsearch.storage.store import open_store

    with open_store(storage, foreign=True) as store:
        study = store.studies.get_any(name)
        store.queue.sweep(study)
        rows = configuration_rows(study, store.trials.all(study))
    if not rows:
        best = f"hpsearch study best {shlex.quote(name)}"
        write_message(
            f'Study "{name}" has a search space, not a list of [[configurations]]. List its best trials: {best}'
        )
    if rows or form is not Format.TABLE:
        write_listing(configurations_listing(rows, study), form)


@app.command()
def trials(
    name: StudyName,
    *,
    state: Annotated[
        list[TrialState] | None,
        typer.Option("--state", help="Only trials in this state of Optuna's; may be repeated."),
    ] = None,
    fate: Annotated[
        list[Fate] | None, typer.Option("--fate", help="Only trials of this fate; may be repeated.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            metavar="N",
            min=1,
            max=MOST_INTEGER,
            help="List at most this many, the lowest numbers first.",
        ),
    ] = None,
    form: OutputFormat = Format.TABLE,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """List the trials of a study by number, each with its fate and its verdict.

    Example: hpsearch study trials digits --fate dying --limit 20
    """
    from hpsearch.cli.study_rendering import trials_listing
    from hpsearch.storage.store import open_store

    with open_store(storage, foreign=True) as store:
        study = store.trials.shown_study(store.studies.get_any(name))
        store.queue.sweep(study)
        chosen = [
            trial
            for trial in store.trials.all(study)
            if (not state or trial.state in state) and (not fate or trial.fate in fate)
        ]
    write_listing(trials_listing(chosen[:limit], study), form)


@app.command()
def edit(
    name: StudyName,
    *,
    trials: Trials = None,
    hours: Hours = None,
    epochs: Epochs = None,
    until: Until = None,
    patience: Patience = None,
    priority: Priority = None,
    ranges: Annotated[
        list[str] | None,
        typer.Option(
            "--range",
            metavar="NAME=LOW:HIGH",
            help="New bounds of a searched range; an empty one stays. Repeat it for several.",
        ),
    ] = None,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Change a study's budget, limits, priority or searched ranges; workers apply it from their next claim on.

    Trials that have finished or are in training stay, even if they are more than the new budget. A study that a limit
    has ended goes on once the limit is raised. With --range, new trials are sampled from the new range, and the others
    keep theirs. Choices cannot be changed.

    Example: hpsearch study edit digits --trials 400 --hours 2.5 --priority 5
    """
    from hpsearch.cli.report import renew_report
    from hpsearch.cli.study_rendering import write_edited
    from hpsearch.storage.store import open_store
    from hpsearch.study.ranges import parse_bounds
    from hpsearch.workflows import studies

    with open_store(storage, foreign=True) as store:
        given = {"hours": hours, "epochs": epochs, "until": until, "patience": patience}
        limits = {key: value for key, value in given.items() if value is not None}
        bounds = parse_bounds(ranges or ())
        write_edited(
            studies.edit(store, name, trials=trials, priority=priority, limits=limits, ranges=bounds)
        )
        renew_report(store, name, url=storage)


@app.command()
def pause(name: StudyName, storage: Storage = DEFAULT_STORAGE) -> None:
    """Stop workers from taking more trials of a study. Trials in training run to their end.

    Example: hpsearch study pause digits
    """
    from hpsearch.cli.report import renew_report
    from hpsearch.cli.study_rendering import user, write_paused
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
    from hpsearch.cli.report import renew_report
    from hpsearch.cli.study_rendering import write_edited
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
    from hpsearch.cli.study_rendering import approve_deletion, write_deletion
    from hpsearch.storage.store import open_store
    from hpsearch.workflows import studies

    with open_store(storage, foreign=True) as store:
        write_deletion(studies.delete(store, name, approve=None if yes else approve_deletion))


@app.command()
def confirm(
    name: StudyName,
    *,
    best: Annotated[
        int,
        typer.Option(
            "--best", metavar="N", min=1, max=MOST_INTEGER, help="How many of the best configurations."
        ),
    ] = 5,
    seeds: Annotated[
        int, typer.Option("--seeds", metavar="N", min=2, max=MOST_SEEDS, help="How many fresh seeds.")
    ] = 5,
    form: OutputFormat = Format.TABLE,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Train the best configurations again with fresh seeds, and report whether the best differs by more than chance.

    A fresh seed changes weights, dropout and the order of the data, not the split. Stored results are not trained
    again: after Ctrl-C the same command continues, and only the cohort in training is lost.

    Example: hpsearch study confirm digits --best 3 --seeds 10
    """
    from hpsearch.cli.progress import until_stopped
    from hpsearch.cli.report import renew_report
    from hpsearch.cli.study_follow_up import write_confirmation
    from hpsearch.storage.store import open_store
    from hpsearch.workflows.confirmation import confirm as train_again

    with open_store(storage, foreign=True) as store:
        with until_stopped() as listener:
            confirmed = train_again(store, name, best=best, seeds=seeds, listener=listener)
        if confirmed.is_complete:
            write_confirmation(confirmed, form)
        else:
            write_message("Stopped. Run the same command again to continue.")
        renew_report(store, name, url=storage)
    if not confirmed.is_complete:
        raise typer.Exit(INTERRUPTED)


@app.command("test")
def open_test_part(
    name: StudyName,
    *,
    trial: Annotated[
        int | None,
        typer.Option(
            "--trial",
            metavar="NUMBER",
            parser=trial_number,
            help="The configuration.  [default: the best, by fresh seeds if there are any]",
        ),
    ] = None,
    seeds: Annotated[
        int, typer.Option("--seeds", metavar="N", min=2, max=MOST_SEEDS, help="How many fresh seeds.")
    ] = 5,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    form: Annotated[AnswerFormat, typer.Option("--format", help="Output format.")] = AnswerFormat.TEXT,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Open the sealed test part, once, and print the result of one configuration there over fresh seeds.

    It trains on the training part, like the search. The opening, its time and its command are recorded first and
    permanently; later calls print the stored result.

    Example: hpsearch study test flowers --trial 17 --yes
    """
    from hpsearch.cli.progress import until_stopped
    from hpsearch.cli.report import renew_report
    from hpsearch.cli.study_follow_up import approve, write_test
    from hpsearch.storage.store import open_store
    from hpsearch.workflows import sealed_test

    with open_store(storage, foreign=True) as store:
        with until_stopped() as listener:
            tested = sealed_test.open_test_part(
                store, name, trial=trial, seeds=seeds, approve=None if yes else approve, listener=listener
            )
        if tested.found is not None:
            write_test(tested, tested.found, form)
        else:
            command = sealed_test.opened_command(tested.study, tested.opened.number, tested.seeds)
            write_message(f"Stopped before the result: {command} finishes it")
        renew_report(store, name, url=storage)
    if tested.found is None:
        raise typer.Exit(INTERRUPTED)


@app.command()
def narrow(
    name: StudyName,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Create the follow-up study.")] = False,
    new_name: Annotated[
        str | None,
        typer.Option(
            "--name",
            metavar="NEW",
            help="Its name.  [default: NAME-round-2, or X-round-3 if NAME is X-round-2]",
        ),
    ] = None,
    trials: Trials = None,
    form: OutputFormat = Format.TABLE,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Propose the next search space from the best trials and the deaths, with a reason for every bound.

    With --yes it creates the follow-up study. It keeps the seed and the split, so results are comparable. It begins
    with the best configurations inside the bounds, which are trained again and count.

    Example: hpsearch study narrow digits --yes
    """
    from hpsearch.cli.study_follow_up import write_follow_up, write_narrowing, write_remedy
    from hpsearch.storage.store import open_store
    from hpsearch.workflows import narrowing

    with open_store(storage, foreign=True) as store:
        found = narrowing.narrow(
            store,
            name,
            create=yes,
            new_name=new_name,
            trials=trials,
            proposed=lambda proposal: write_narrowing(proposal, form),
        )
        if found.follow_up is not None:
            write_follow_up(found, found.follow_up, trials=trials, form=form, where=store.url_shown)
        elif form is Format.TABLE:
            write_remedy(found, new_name)


@app.command()
def stop(name: StudyName, storage: Storage = DEFAULT_STORAGE) -> None:
    """End a study early: its budget becomes the number of finished trials. Trials in training end and count.

    `study edit --trials N` opens it again; `study pause` stops it for a while.

    Example: hpsearch study stop digits
    """
    from hpsearch.cli.report import renew_report
    from hpsearch.cli.study_rendering import write_stopped
    from hpsearch.storage.store import open_store
    from hpsearch.workflows import studies

    with open_store(storage, foreign=True) as store:
        write_stopped(studies.stop(store, name))
        renew_report(store, name, url=storage)


@app.command()
def rename(name: StudyName, new: NewStudyName, storage: Storage = DEFAULT_STORAGE) -> None:
    """Rename a study. Everything else stays; its report, if any, is written again under the new name.

    Example: hpsearch study rename digits digits-2026
    """
    from hpsearch.cli.report import renew_report
    from hpsearch.storage.store import open_store
    from hpsearch.workflows import studies

    with open_store(storage, foreign=True) as store:
        studies.rename(store, name, new)
        write_line(f'Study "{name}": renamed to "{new}"')
        renew_report(store, new, url=storage, before=name)


@app.command()
def copy(name: StudyName, new: NewStudyName, storage: Storage = DEFAULT_STORAGE) -> None:
    """Copy a study with all its trials to another name in the same database. Trials in training wait in the copy.

    Example: hpsearch study copy digits digits-before
    """
    from hpsearch.storage.store import open_store
    from hpsearch.study.messages import format_count
    from hpsearch.workflows import studies

    with open_store(storage, foreign=True) as store:
        trials = format_count(studies.copy(store, name, new), "trial")
    write_line(f'Study "{name}": copied to "{new}" with {trials}')


@app.command()
def export(
    name: StudyName,
    *,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="A new SQLite file.")
    ] = None,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="TRACKER", help="mlflow:URI or tensorboard:DIR, instead of a file."),
    ] = None,
    include_running: Annotated[
        bool, typer.Option("--include-running", help="Take trials that run as waiting ones; for a file only.")
    ] = False,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Write a study into a new SQLite file, to keep, send or import elsewhere, or into an experiment tracker.

    The file is read back as a check. A damaged study is written unchanged, with a warning: `study import` will refuse
    the file.

    A tracker gets one parent and a run for each trial that has started: parameters, curves, result, and the verdict as
    tags. The same command again adds only what is new. `mlflow:` needs the extra `mlflow`, such as `--to
    mlflow:http://localhost:5000`; `tensorboard:` needs the extra `tensorboard`.

    Example: hpsearch study export digits --output digits.db
    """
    if (output is None) == (to is None) or (to is not None and include_running):
        raise UsageError(
            "study export: needs either --output FILE, which --include-running belongs to, or --to TRACKER"
            f" (got {_given(output=output, to=to, include_running=include_running)})"
        )
    if to is not None:
        _export_to_tracker(storage, name, to)
    elif output is not None:
        _export_to_file(storage, name, output, include_running=include_running)


def _given(**options: object) -> str:
    named = [f"--{name.replace('_', '-')}" for name, value in options.items() if value not in (None, False)]
    return " and ".join(named) or "neither"


def _export_to_tracker(storage: str, name: str, to: str) -> None:
    from hpsearch.storage.store import open_store
    from hpsearch.study.messages import format_count
    from hpsearch.workflows.tracking import export_to_tracker

    with open_store(storage, foreign=True) as store:
        made = export_to_tracker(store, name, to, notify=write_message)
    write_line(
        f'Study "{name}": {format_count(made.trials, "trial")} in {mask(to)}'
        f" ({made.added:,} added, {made.updated:,} updated)"
    )


def _export_to_file(storage: str, name: str, output: Path, *, include_running: bool) -> None:
    from hpsearch.workflows.transfer import export_study

    made = export_study(storage, name, output, include_running=include_running)
    write_line(_copied(made, str(output)))
    if made.faults:
        write_message(
            f"Warning: `study import` of hpsearch {hpsearch.__version__} will refuse {output} as it is:\n"
            + "\n".join(f"  {fault}" for fault in made.faults)
        )


@app.command("import")
def import_studies(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that `study export` wrote.")],
    *,
    study: Annotated[
        list[str] | None,
        typer.Option("--study", metavar="NAME", help="Only this one; may be repeated."),
    ] = None,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Import the studies of an exported file into the database, with their numbers, times and history.

    The file is only read: nothing in it is run. It is imported whole or, if it breaks a rule, not at all.

    Example: hpsearch study import digits.db
    """
    from hpsearch.storage.address import parse_address
    from hpsearch.workflows import transfer

    shown = parse_address(storage).shown
    transfer.import_studies(
        file, storage, names=study or (), imported=lambda made: write_line(_copied(made, shown))
    )


def _copied(made: "CopiedStudy", where: str) -> str:
    from hpsearch.study.messages import format_count

    returned = f" ({made.returned:,} that ran wait there)" if made.returned else ""
    return f'Study "{made.name}": {format_count(made.trials, "trial")}{returned} in {where}, and read back'
