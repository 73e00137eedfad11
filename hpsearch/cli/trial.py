"""`hpsearch trial`: one trial at a time."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from hpsearch.analysis.formats import (
    format_result,
    format_share,
    format_short_metric,
    format_time,
)
from hpsearch.analysis.trial_facts import (
    cause_words,
    course_facts,
    end_words,
    evidence_facts,
    foreign_facts,
    parameter_facts,
    suggested_facts,
)
from hpsearch.cli.options import (
    CommandGroup,
    Format,
    OutputFormat,
    Storage,
    TableFormat,
    complete_study_name,
    trial_number,
)
from hpsearch.cli.output import write_csv, write_json, write_line, write_message, write_table
from hpsearch.storage.records import Attempt, Progress, StoredStudy
from hpsearch.study.messages import format_count
from hpsearch.study.schema import MOST_EPOCHS, MOST_INTEGER
from hpsearch.trials import Failure, Trial
from hpsearch.verdicts import Finding
from hpsearch.workflows.default_storage import DEFAULT_STORAGE

if TYPE_CHECKING:
    from hpsearch.worker.replay import RecordedRun, Replay
    from hpsearch.workflows.trials import Enqueued, Grid, RetriedTrial

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
    from hpsearch.cli.trial_curves import write_curves
    from hpsearch.storage.store import open_store
    from hpsearch.workflows.json_objects import trial_with_history
    from hpsearch.workflows.snapshot import read_series

    with open_store(storage, foreign=True) as store:
        stored = store.studies.get_any(study)
        store.queue.sweep(stored)
        found, attempts = store.trials.get(stored, number), store.trials.attempts(stored, number)
        series = read_series(store, stored, [number], notify=write_message) if form is Format.TABLE else {}
    if form is Format.TABLE:
        write_trial(found, stored, attempts)
        write_curves(found, stored, series.get(number, {}))
        return
    shown = trial_with_history(found, attempts)
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
            help="Also train it with this in place of its own value; may be repeated.",
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
            help="A unit of the first hidden layer to draw; may be repeated.  [default: ten, evenly spread]",
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
    from hpsearch.report.file import check_report_path
    from hpsearch.storage.store import open_store
    from hpsearch.study.reader import parse_settings
    from hpsearch.training.recording import RecordingOptions
    from hpsearch.worker.replay import ReplayRequest
    from hpsearch.workflows.json_objects import replay_object
    from hpsearch.workflows.report import write_replay_page
    from hpsearch.workflows.trials import read_trial, replay_trial

    request = ReplayRequest(
        epochs=epochs,
        settings=parse_settings(settings or ()),
        watch=RecordingOptions(units=tuple(watch or ())),
    )
    if output is not None:
        check_report_path(output, where="--output")
    with open_store(storage, foreign=True) as store:
        stored = read_trial(store, study, number, notify=write_message)
    made = replay_trial(stored, request, listener=TERMINAL)
    page = write_replay_page(made, output, storage, listener=TERMINAL)
    if form is TableFormat.JSON:
        write_json(replay_object(made) | {"page": str(page)})
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
        typer.Option("--set", metavar="KEY=VALUE", help="A value that is searched; may be repeated."),
    ] = None,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Enqueue a configuration of your own, to be trained next. Other values are sampled; it counts against the budget.

    Example: hpsearch trial enqueue digits --set learning_rate=0.01
    """
    from hpsearch.cli.report import renew_report
    from hpsearch.storage.store import open_store
    from hpsearch.workflows.trials import enqueue as enqueue_trial

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
    from hpsearch.workflows import trials

    with open_store(storage, foreign=True) as store:
        changed = trials.fail(store, study, number)
        write_line(f'Study "{study}": trial {number} {"has failed" if changed else "had failed before"}')
        renew_report(store, study, url=storage)


@app.command()
def retry(study: StudyOfTrial, number: TrialNumber, storage: Storage = DEFAULT_STORAGE) -> None:
    """Let workers train a trial that another Optuna client runs, or a failed one's parameters as a new trial.

    Trials that a worker of hpsearch trains are refused, and finished trials are never changed.

    Example: hpsearch trial retry digits 17
    """
    from hpsearch.cli.report import renew_report
    from hpsearch.storage.store import open_store
    from hpsearch.workflows import trials

    with open_store(storage, foreign=True) as store:
        write_retried(trials.retry(store, study, number))
        renew_report(store, study, url=storage)


def write_trial(trial: Trial, study: StoredStudy, attempts: Sequence[Attempt]) -> None:
    """Write all stored facts about a trial to stdout."""
    end = end_words(trial) if study.foreign is None else trial.state.value
    write_line(f"{study.spec.name}: trial {trial.number}: {end}")
    write_line()
    write_table(("property", "value"), list(_properties(trial, study)))
    if trial.finding is not None:
        write_line()
        _write_finding(trial.finding)
    if trial.failure is not None:
        _write_failure(trial.failure)
    if attempts:
        write_line()
        _write_attempts(attempts)


def _properties(trial: Trial, study: StoredStudy) -> Iterator[tuple[str, str]]:
    from hpsearch.analysis.configurations import configuration_name

    metric = study.spec.metric
    if (exact := configuration_name(study.spec, trial.params)) is not None:
        yield "configuration", exact
    yield from parameter_facts(trial)
    if study.foreign is None:
        yield format_short_metric(metric), format_result(trial.value, metric)
        if trial.spread is not None:
            yield "over folds", f"standard deviation {format_result(trial.spread, metric)}"
        if trial.is_foreign:
            yield "reported by", "another Optuna client"
        yield from course_facts(trial)
        return
    yield from foreign_facts(trial, study.foreign)


def _write_finding(finding: Finding) -> None:
    sure = format_share(finding.confidence, 1)
    write_line(f"Verdict: {cause_words(finding)}, confidence {sure}")
    for name, value in evidence_facts(finding):
        write_line(f"  {name} {value}")
    write_line(f"Remedy: {finding.remedy}")
    for name, suggested in suggested_facts(finding):
        write_line(f"  {name} = {suggested}")


def _write_failure(failure: Failure) -> None:
    for title, text in (("Traceback", failure.traceback), ("Last output", failure.output)):
        if text:
            write_line()
            write_line(f"{title}:")
            for line in text.rstrip().splitlines():
                write_line(f"  {line}")


def _write_attempts(attempts: Sequence[Attempt]) -> None:
    write_table(
        ("attempt", "worker", "why it ended", "epochs", "kind", "counts", "ended"),
        [
            (
                str(attempt.attempt),
                attempt.worker or "",
                attempt.why,
                f"{attempt.epochs:,}",
                attempt.kind.replace("_", " "),
                "yes" if attempt.crashed else "no",
                format_time(attempt.ended),
            )
            for attempt in attempts
        ],
        right=frozenset({"attempt", "epochs"}),
    )


def write_enqueued(enqueued: "Enqueued") -> None:
    """Write the waiting trial and its values to stdout, and the budget that lets it run."""
    write_line(enqueued.sentence)
    if enqueued.grid is not None:
        _write_grid_hint(enqueued.study, enqueued.grid)
    _write_budget_hint(enqueued.study, enqueued.progress)


def write_retried(retried: "RetriedTrial") -> None:
    """Write the trial that waits, and the budget that lets it run, to stdout."""
    write_line(retried.sentence)
    _write_budget_hint(retried.study, retried.progress)


def _write_budget_hint(study: StoredStudy, progress: Progress) -> None:
    """Write how to raise the budget if it is spent and trials wait."""
    from hpsearch.workflows.run import continuation

    name = study.spec.name
    if progress.ended_by is not None:
        write_line(f"The study is finished: {continuation(progress)}")
    elif progress.is_done and progress.waiting:
        more = progress.finished + progress.waiting  # other clients may have finished more than the budget
        write_line(
            f"The budget of {format_count(progress.budget, 'trial')} is spent: "
            f"`hpsearch study edit {shlex.quote(name)} --trials {more}` lets it run"
        )


def _write_grid_hint(study: StoredStudy, grid: "Grid") -> None:
    """Write the budget that trains every point of the grid in addition to the trials with given parameters."""
    points, given = grid.points, grid.given
    if study.spec.trials < points + given:
        budget = format_count(study.spec.trials, "trial")
        write_line(
            f"The grid has {format_count(points, 'point')}, and {given} of the {budget} "
            f"{'is' if given == 1 else 'are'} not of it: "
            f"`hpsearch study edit {shlex.quote(study.spec.name)} --trials {points + given}` trains all"
        )


def write_replay(replay: "Replay", page: Path) -> None:
    """Write the trained epochs, the check's result and the verdicts to stdout."""
    from hpsearch.analysis.replay import check_sentence, finding_words, nonfinite_sentence, settings_words

    stored = replay.stored
    write_line(f"{stored.study.spec.name}: trial {stored.trial.number}: {check_sentence(replay.check)}")
    if replay.data.folds:
        write_line(f"The check is of all {len(replay.data.folds)} folds; what follows is of the first.")
    write_line()
    heads = ["property", "original"]
    columns = [dict(_run_properties(replay.original))]
    if replay.altered is not None:
        heads.append(settings_words(replay.settings))
        columns.append(dict(_run_properties(replay.altered)))
    write_table(heads, [[name, *(column.get(name, "") for column in columns)] for name in columns[0]])
    write_line()
    for head, run in zip(heads[1:], (replay.original, replay.altered), strict=False):
        if run is not None:
            write_line(f"{head}: {finding_words(run.verdict.primary)}")
            write_line(f"Remedy: {run.verdict.primary.remedy}")
            if nonfinite := nonfinite_sentence(run.recording):
                write_line(nonfinite)
    write_line(f"Page: {page}")


def _run_properties(run: "RecordedRun") -> Iterator[tuple[str, str]]:
    from hpsearch.analysis.replay import deaths, length_words

    recording = run.recording
    training = recording.subject.configuration.training
    yield "learning_rate", f"{training.learning_rate:.6g}"
    yield "trained", length_words(recording)
    last = recording.telemetry.epochs[-1] if recording.telemetry.epochs else None
    for name in ("training_loss", "validation_loss", "validation_accuracy"):
        yield name, format_result(None if last is None else getattr(last, name), name)
    for name, value in last.scores.items() if last is not None else ():
        yield name, format_result(value, name)
    silent = ", ".join(
        f"{len(deaths(recording, layer))} of {len(units)}" for layer, units in enumerate(recording.last_fired)
    )
    yield "units that fell silent", silent or "no hidden layer"
