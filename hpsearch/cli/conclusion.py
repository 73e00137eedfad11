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

from hpsearch.cli.dashboard import EXTRA
from hpsearch.cli.output import answer
from hpsearch.cli.overview import write_advice, write_fates
from hpsearch.cli.progress import busy
from hpsearch.errors import HpsearchError
from hpsearch.records import Trial
from hpsearch.report.file import write_page
from hpsearch.report.formats import format_count
from hpsearch.report.request import Request
from hpsearch.report.snapshot import Snapshot
from hpsearch.report.words import best_lines, state_sentence
from hpsearch.storage.address import mask, parse_address
from hpsearch.storage.records import StoredStudy
from hpsearch.storage.store import Store

_LONGEST_FILE_NAME: Final = 100


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
    answer(f"Report: {path}")
    answer(f"Dashboard: {dashboard_command(url)}")


def _write_results(snapshot: Snapshot) -> None:
    """Write the best, the fates and the advice to stdout."""
    study = snapshot.study
    answer(f"{study.spec.name}: {state_sentence(snapshot.progress)}")
    answer()
    for line in best_lines(snapshot.trials, study) or why_nothing(snapshot.trials):
        answer(line)
    answer()
    write_fates(snapshot.progress)
    write_advice(study, snapshot.trials)
    answer()


def take_snapshot(store: Store, study: StoredStudy) -> Snapshot:
    """Read everything that a report is made from."""
    store.sweep(study)
    trials = store.trials(study)
    return Snapshot(
        study=study,
        progress=store.progress(study),
        trials=trials,
        series=store.series(study, [trial.number for trial in trials]),
        taken=datetime.now(UTC),
        attempts=store.every_attempt(study),
        workers=store.workers(),
        evaluations=store.evaluations(study),
        unsealing=store.unsealing(study),
    )


def save_report(snapshot: Snapshot, path: Path, request: Request | None = None) -> Path:
    """Write the report and return its path. Raises HpsearchError where that cannot be."""
    from hpsearch.report.page import render

    write_page(render(snapshot, request or Request()), path)
    return path


def default_report_path(url: str, name: str) -> Path:
    """Return where a study's report goes, in a folder that is there then.

    It is `reports/` beside an SQLite file, else below the current folder. Raises HpsearchError where it cannot be made.
    """
    database = parse_address(url).path
    folder = Path("reports") if database is None else database.parent / "reports"
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise HpsearchError(
            f"report: its folder must be writable (got {folder}: {error.strerror}): name a file elsewhere"
        ) from error
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
