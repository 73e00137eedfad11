"""Write and renew reports, and choose their paths."""

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

from hpsearch.analysis.replay import settings_words
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.errors import HpsearchError, StudyUnreadableError
from hpsearch.report.file import write_page
from hpsearch.report.request import ReportRequest, check_request, origin_of
from hpsearch.storage.address import parse_address
from hpsearch.storage.records import StoredStudy
from hpsearch.storage.store import Store
from hpsearch.worker.replay import Replay
from hpsearch.workflows.listener import SILENT, Listener, Notify
from hpsearch.workflows.snapshot import take_snapshot

if TYPE_CHECKING:
    from hpsearch.report.figure_file import FigureFormat

_LONGEST_FILE_NAME: Final = 100
_LONGEST_SUFFIX: Final = 60
"""Maximum number of characters of settings in the name of a replay's page."""


def request_report(
    store: Store, name: str, *, trials: tuple[int, ...], compare: Sequence[str], ours: bool, notify: Notify
) -> tuple[Snapshot, ReportRequest]:
    """Return the snapshot of a study and the request for its report, checked.

    With `ours`, or if studies are compared, hpsearch must have made the study. Raises HpsearchError if the request does
    not fit the study.
    """
    study = store.studies.get(name) if compare or ours else store.studies.get_any(name)
    snapshot = take_snapshot(store, study, notify=notify)
    others = tuple(
        take_snapshot(store, store.studies.get(other), notify=notify) for other in dict.fromkeys(compare)
    )
    request = ReportRequest(trials=trials, others=others)
    check_request(snapshot, request)
    return snapshot, request


def prepare_report() -> None:
    """Import and compress what any report needs, so that `write_report` takes less time later."""
    from hpsearch.report.page import prepare

    prepare()


def write_report(snapshot: Snapshot, path: Path, request: ReportRequest | None = None) -> Path:
    """Write the report and return its path. Raises HpsearchError if the file cannot be written."""
    from hpsearch.report.page import render

    write_page(render(snapshot, request or ReportRequest()), path)
    return path


def write_figure(
    snapshot: Snapshot, name: str, form: "FigureFormat", path: Path, request: ReportRequest | None = None
) -> Path:
    """Write the figure `name` of a study as `form`, html, json, png or svg, and return its path.

    Raises UsageError for an unknown figure, and HpsearchError if the file cannot be written.
    """
    from hpsearch.report.figure_file import figure_file

    write_page(figure_file(snapshot, name, form, request or ReportRequest()), path)
    return path


def write_replay_page(replay: Replay, output: Path | None, url: str, *, listener: Listener = SILENT) -> Path:
    """Write the page of a replay, to `output` or next to the reports, and return its path.

    Next to the reports, a replay with other settings gets its own page.
    """
    from hpsearch.report.replay_page import render_replay

    path = output
    if path is None:
        report = default_report_path(url, replay.stored.study.spec.name)
        changes = settings_words(dict(sorted(replay.settings.items())))
        suffix = f"-{file_name_part(changes, longest=_LONGEST_SUFFIX)}" if changes else ""
        path = report.with_name(f"{report.stem}-trial-{replay.stored.trial.number}{suffix}.html")
    with listener.stage("Writing the page"):
        write_page(render_replay(replay, taken=datetime.now(UTC)), path)
    return path


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class RenewedReport:
    """A study of ours and the outcome of renewing its report.

    `path` is None if it has no report of its own at the default path. `error` is the reason why the report is outdated.
    """

    study: StoredStudy
    path: Path | None = None
    error: str | None = None


def renew_report(
    store: Store, name: str, *, url: str, before: str | None = None, listener: Listener = SILENT
) -> RenewedReport | None:
    """Write the report of a study again if there is one at the default path.

    `before` is the earlier name of the study, if the report was written under that: that file is removed. Nothing is
    renewed if the report at that path belongs to another study. Return None for a study that cannot be read or that
    another Optuna client made.
    """
    try:
        study = store.studies.get_any(name)
    except StudyUnreadableError:
        return None
    if study.foreign is not None:
        return None
    old, new = report_path(url, before or name), report_path(url, name)
    origin = origin_of(old)
    is_free = new == old or not new.exists() or _is_of(study, new)
    if origin is None or origin.study != study.key or not is_free:
        return RenewedReport(study=study)
    try:
        _renew(store, study, origin.trials, origin.others, new, listener=listener)
        if new != old:
            old.unlink()
    except (HpsearchError, OSError) as error:
        return RenewedReport(study=study, error=str(error))
    return RenewedReport(study=study, path=new)


def _is_of(study: StoredStudy, path: Path) -> bool:
    origin = origin_of(path)
    return origin is not None and origin.study == study.key


def _renew(
    store: Store,
    study: StoredStudy,
    trials: tuple[int, ...],
    others: Sequence[str],
    path: Path,
    *,
    listener: Listener,
) -> None:
    """Write a report again with the same trials and compared studies; deleted studies are left out."""
    with listener.stage("Writing the report again"):
        compared = [other for other in store.studies.all() if other.key in others]
        request = ReportRequest(
            trials=trials,
            others=tuple(take_snapshot(store, other, notify=listener.notify) for other in compared),
        )
        snapshot = take_snapshot(store, study, notify=listener.notify)
        check_request(snapshot, request)
        write_report(snapshot, path, request)
    listener.notify(f"Report written again: {path}")


def default_report_path(url: str, name: str) -> Path:
    """Return the path of a study's report, and create its folder.

    It is `reports/` next to an SQLite file, else below the current folder. Raises HpsearchError if the folder cannot
    be made.
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
    """Return the path of a study's report, whether or not its folder exists."""
    database = parse_address(url).path
    folder = Path("reports") if database is None else database.parent / "reports"
    return folder / f"{file_name_part(name)}.html"


def file_name_part(name: str, *, longest: int = _LONGEST_FILE_NAME) -> str:
    """Return a name as part of a file name that is valid on any system and unique to the name.

    Up to `longest` letters, digits, dots, dashes and underscores are kept; if that changes the name, its checksum is
    added.
    """
    safe = re.sub(r"[^\w.-]+", "-", name).strip("-.")[:longest]
    return safe if safe == name else f"{safe or 'study'}-{zlib.crc32(name.encode()):08x}"
