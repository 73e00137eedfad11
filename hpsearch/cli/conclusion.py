"""What a run ends with: the best, the fates, the report, the dashboard."""

import re
import shlex
import zlib
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from hpsearch.analysis.best_trials import best_lines, rival_words
from hpsearch.analysis.formats import format_count
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.analysis.study_state import state_sentence
from hpsearch.cli.dashboard import EXTRA
from hpsearch.cli.output import answer, say
from hpsearch.cli.overview import write_advice, write_fates
from hpsearch.cli.progress import busy
from hpsearch.errors import HpsearchError, StudyUnreadableError, mask
from hpsearch.report.file import write_page
from hpsearch.report.request import ReportRequest, check_request
from hpsearch.storage.address import parse_address
from hpsearch.storage.records import Evaluation, StoredStudy
from hpsearch.storage.store import Store
from hpsearch.telemetry import Series
from hpsearch.trials import Trial

_LONGEST_FILE_NAME: Final = 100

_MOST_LISTED: Final = 5
"""Trials that a warning lists."""


def conclude(store: Store, study: StoredStudy, *, url: str, report: Path | None) -> None:
    """Write the result of a study, as it stands, to stdout, and its report to a file.

    `report` is where the report goes; None is `default_report_path`.
    """
    snapshot = take_snapshot(store, study)
    try:
        _write_results(snapshot)
    finally:  # a stdout that takes nothing does not cost the report
        with busy("Writing the report"):
            path = save_report(snapshot, report or default_report_path(url, study.spec.name))
    if report is not None:
        renew_report(store, study.spec.name, url=url)
    answer(f"Report: {path}")
    answer(f"Dashboard: {dashboard_command(url)}")


def _write_results(snapshot: Snapshot) -> None:
    """Write the best, the fates and the advice to stdout."""
    study = snapshot.study
    answer(f"{study.spec.name}: {state_sentence(snapshot.progress)}")
    answer()
    write_best(study, snapshot.trials, snapshot.evaluations)
    answer()
    write_fates(snapshot.progress)
    write_advice(study, snapshot.trials, snapshot.evaluations)
    answer()


def write_best(
    study: StoredStudy, trials: Sequence[Trial], evaluations: Sequence[Evaluation], count: int = 5
) -> None:
    """Write the best configurations to stdout, or what took the trials if there is none."""
    for line in best_lines(trials, study, count, evaluations=evaluations) or why_nothing(trials):
        answer(line)
    if rival := rival_words(trials, study, evaluations=evaluations):
        answer(rival)


def read_series(store: Store, study: StoredStudy, numbers: Sequence[int]) -> dict[int, Series]:
    """Return number -> series of those trials that have some, and warn of those that cannot be read."""
    found = store.series(study, numbers)
    unreadable = [number for number, series in found.items() if series is None]
    if unreadable:
        listed = ", ".join(map(str, unreadable[:_MOST_LISTED]))
        more = f" and {len(unreadable) - _MOST_LISTED:,} more" if len(unreadable) > _MOST_LISTED else ""
        trials = "trial" if len(unreadable) == 1 else "trials"
        say(
            f'Warning: study "{study.name}": the series of {trials} {listed}{more} cannot be read and are left out: '
            "see `hpsearch storage check --full`"
        )
    return {number: series for number, series in found.items() if series}


def take_snapshot(store: Store, study: StoredStudy) -> Snapshot:
    """Read everything that a report is made from."""
    store.sweep(study)
    trials = store.trials(study)
    return Snapshot(
        study=study,
        progress=store.progress(study),
        trials=trials,
        series=read_series(store, study, [trial.number for trial in trials]),
        taken=datetime.now(UTC),
        attempts=store.every_attempt(study),
        workers=store.workers(),
        evaluations=store.evaluations(study),
        unsealing=store.unsealing(study),
    )


def save_report(snapshot: Snapshot, path: Path, request: ReportRequest | None = None) -> Path:
    """Write the report and return its path. Raises HpsearchError where that cannot be."""
    from hpsearch.report.page import render

    write_page(render(snapshot, request or ReportRequest()), path)
    return path


def renew_report(store: Store, name: str, *, url: str, before: str | None = None) -> None:
    """Write the report of a study again if it has one at the default place, and its published notes if it has any.

    `before` is the name under which the report was written, if it is another one: that file goes away. Nothing is
    renewed if the report in that place is not of this study, nor for a study that cannot be read or that another Optuna
    client made. A report that cannot be written is a warning: the command that changed the study has done its work.
    """
    from hpsearch.report.request import origin_of

    try:
        study = store.any_study(name)
    except StudyUnreadableError:
        return
    if study.foreign is not None:
        return
    old, new = report_path(url, before or name), report_path(url, name)
    origin = origin_of(old)
    is_free = new == old or not new.exists() or _is_of(study, new)
    try:
        if origin is not None and origin.study == study.key and is_free:
            _renew(store, study, origin.trials, origin.others, new)
            if new != old:
                old.unlink()
        _renew_published(store, study, url)
    except (HpsearchError, OSError) as error:
        say(f'Warning: what is shown of "{name}" is older than the study: {error}')


def _is_of(study: StoredStudy, path: Path) -> bool:
    from hpsearch.report.request import origin_of

    origin = origin_of(path)
    return origin is not None and origin.study == study.key


def _renew(
    store: Store, study: StoredStudy, trials: tuple[int, ...], others: Sequence[str], path: Path
) -> None:
    """Write a report again with the same trials and studies to compare; a study that is gone is left out."""
    with busy("Writing the report again"):
        compared = [other for other in store.studies() if other.key in others]
        request = ReportRequest(
            trials=trials, others=tuple(take_snapshot(store, other) for other in compared)
        )
        snapshot = take_snapshot(store, study)
        check_request(snapshot, request)
        save_report(snapshot, path, request)
    say(f"Report written again: {path}")


def _renew_published(store: Store, study: StoredStudy, url: str) -> None:
    """Publish figures and notes again if the study has a note of ours for servers of Optuna's own dashboard."""
    from hpsearch.dashboard.stored_notes import is_published
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
        say(f"Warning: the notes for Optuna's dashboard are older than the study: {command} renews them")
        return
    from hpsearch.dashboard.publishing import publish

    publish(url, take_snapshot(store, study))
    say("Published again: figures and notes for Optuna's own dashboard")


def default_report_path(url: str, name: str) -> Path:
    """Return where a study's report goes, in a folder that is there then.

    It is `reports/` beside an SQLite file, else below the current folder. Raises HpsearchError where it cannot be made.
    """
    path = report_path(url, name)
    folder = path.parent
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise HpsearchError(
            f"report: its folder must be writable (got {folder}: {error.strerror}): name a file elsewhere"
        ) from error
    return path


def report_path(url: str, name: str) -> Path:
    """Return where a study's report goes, whether its folder is there or not."""
    database = parse_address(url).path
    folder = Path("reports") if database is None else database.parent / "reports"
    return folder / f"{file_name_part(name)}.html"


def file_name_part(name: str, *, longest: int = _LONGEST_FILE_NAME) -> str:
    """Return a name as part of a file's name on any system, different for different names.

    Letters, digits, dots, dashes and underscores stay, `longest` of them; where that changes the name, its checksum is
    added.
    """
    safe = re.sub(r"[^\w.-]+", "-", name).strip("-.")[:longest]
    return safe if safe == name else f"{safe or 'study'}-{zlib.crc32(name.encode()):08x}"


def dashboard_command(url: str) -> str:
    """Return the command that serves the dashboard, and how to install it where it is missing.

    A password in the URL is masked.
    """
    address = parse_address(url)
    shown = address.shown if address.path else mask(address.url.render_as_string(hide_password=True))
    command = f"hpsearch dashboard --storage {shlex.quote(shown)}"
    is_missing = any(find_spec(name) is None for name in EXTRA)
    return f"{command} (install it first: pip install 'hpsearch[dashboard]')" if is_missing else command


def why_nothing(trials: Sequence[Trial]) -> list[str]:
    """Say what took the trials where none is complete with a finite result."""
    ended = [trial for trial in trials if trial.state.is_final]
    if not ended:
        return ["No trial has finished yet."]
    causes = Counter(trial.verdict or "no verdict" for trial in ended)
    lines = [f"No trial completed. {format_count(len(ended), 'trial')} ended otherwise:"]
    lines += [f"  {cause}: {count}" for cause, count in causes.most_common()]
    remedies = Counter(trial.finding.remedy for trial in ended if trial.finding is not None)
    if remedies:
        remedy, count = remedies.most_common(1)[0]
        lines.append(f"Most common remedy ({count} of {len(ended)}): {remedy}")
    return lines
