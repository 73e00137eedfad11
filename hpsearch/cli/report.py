"""`hpsearch report`: the report of a study, or one figure of it, written to a file."""

import shlex
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, final

import typer

from hpsearch.cli.dashboard import EXTRA, check_extra
from hpsearch.cli.options import Storage, StudyName, complete_study_name
from hpsearch.cli.output import write_line, write_message
from hpsearch.errors import UsageError
from hpsearch.workflows.default_storage import DEFAULT_STORAGE

if TYPE_CHECKING:
    from hpsearch.analysis.snapshot import Snapshot
    from hpsearch.storage.records import StoredStudy
    from hpsearch.storage.store import Store


@final
class FigureForm(StrEnum):
    """The file format of a single figure."""

    HTML = "html"
    JSON = "json"
    PNG = "png"
    SVG = "svg"


def report(
    name: StudyName,
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="PATH", help="Where to write it.  [default: next to the database]"),
    ] = None,
    trials: Annotated[
        str | None,
        typer.Option(
            "--trials", metavar="N,N", help="Two to six trials to compare.  [default: typical ones]"
        ),
    ] = None,
    compare: Annotated[
        list[str] | None,
        typer.Option(
            "--compare",
            metavar="NAME",
            help="Another study of the same metric to compare with; may be repeated.",
            autocompletion=complete_study_name,
        ),
    ] = None,
    figure: Annotated[
        str | None, typer.Option("--figure", metavar="FIGURE", help="Write this figure alone.")
    ] = None,
    form: Annotated[
        FigureForm, typer.Option("--format", help="The file format of a single figure.")
    ] = FigureForm.HTML,
    publish: Annotated[
        bool,
        typer.Option(
            "--publish", help="Keep figures and notes in the database too, for Optuna's own dashboard."
        ),
    ] = False,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Write the report of a study: one HTML file that needs no network.

    With --figure it writes one figure: a page, Plotly's JSON, or a picture (which needs the extra `images`). With
    --publish a server of Optuna's own dashboard shows our search map, failures and curves, and notes with verdicts and
    remedies; your own notes are kept (this needs the extra `dashboard`).

    Example: hpsearch report digits --compare digits-wide --trials 3,17,42
    """
    from hpsearch.report.file import check_report_path
    from hpsearch.report.request import parse_trials
    from hpsearch.storage.store import open_store
    from hpsearch.workflows.report import default_report_path, request_report, write_figure, write_report

    if figure is None and form is not FigureForm.HTML:
        raise UsageError(
            f"--format {form}: is for a single figure (got no --figure): name one, or leave it out"
        )
    if publish:
        _check_publish(figure)
    numbers = () if trials is None else parse_trials(trials)
    if output is not None:
        check_report_path(output, where="--output")
    with open_store(storage, foreign=True) as store:
        # Only studies of ours have the data for publishing.
        snapshot, request = request_report(
            store, name, trials=numbers, compare=compare or (), ours=publish, notify=write_message
        )
    path = output or default_report_path(storage, name)
    if figure is None:
        write_line(str(write_report(snapshot, path, request)))
        if publish:
            _publish(storage, snapshot)
        return
    path = output or path.with_name(f"{path.stem}-{figure}.{form}")
    write_line(str(write_figure(snapshot, figure, form.value, path, request)))


def _check_publish(figure: str | None) -> None:
    if figure is not None:
        raise UsageError(f"--publish: is for the whole report (got --figure {figure}): leave one of them out")
    check_extra("--publish")


def _publish(url: str, snapshot: "Snapshot") -> None:
    from hpsearch.cli.progress import busy
    from hpsearch.dashboard.publishing import publish
    from hpsearch.study.messages import format_count

    with busy("Publishing figures and notes"):
        done = publish(url, snapshot)
    others = f"{done.unchanged:,} were there already, {done.users:,} of users are kept"
    write_line(
        f"Published: {format_count(done.figures, 'figure')}, {format_count(done.notes, 'note')} ({others})."
    )


def renew_report(store: "Store", name: str, *, url: str, before: str | None = None) -> None:
    """Write the report of a study again if there is one at the default path, and its published notes if any.

    `before` is the earlier name of the study, if the report was written under that. A report that cannot be written is
    a warning: the command that changed the study has already succeeded.
    """
    from hpsearch.cli.progress import TERMINAL
    from hpsearch.errors import HpsearchError
    from hpsearch.workflows import report

    renewed = report.renew_report(store, name, url=url, before=before, listener=TERMINAL)
    if renewed is None:
        return
    error = renewed.error
    if error is None:
        try:
            _renew_published(store, renewed.study, url)
        except (HpsearchError, OSError) as failed:
            error = str(failed)
    if error is not None:
        write_message(f'Warning: the report of "{name}" is outdated: {error}')


def _renew_published(store: "Store", study: "StoredStudy", url: str) -> None:
    """Publish figures and notes again if the study has a note of ours for servers of Optuna's own dashboard."""
    from hpsearch.dashboard.notes import is_published
    from hpsearch.storage.optuna.storage import OptunaStorage

    storage = OptunaStorage(url)
    try:
        attributes = storage.get_study_system_attrs(study.study_id)
    finally:
        storage.remove_session()
    if not is_published(attributes):
        return
    if any(find_spec(name) is None for name in EXTRA):
        command = f"hpsearch report {shlex.quote(study.spec.name)} --publish"
        write_message(
            f"Warning: the notes for Optuna's dashboard are older than the study: {command} renews them"
        )
        return
    from hpsearch.dashboard.publishing import publish
    from hpsearch.workflows.snapshot import take_snapshot

    publish(url, take_snapshot(store, study, notify=write_message))
    write_message("Published again: figures and notes for Optuna's own dashboard")
