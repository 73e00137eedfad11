"""What a run ends with: the best, the fates, the report, the dashboard."""

import shlex
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from hpsearch.analysis.best_trials import best_lines, rival_words
from hpsearch.analysis.formats import format_count
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.analysis.study_state import state_sentence
from hpsearch.cli.dashboard import EXTRA
from hpsearch.cli.output import answer, say
from hpsearch.cli.overview import write_advice, write_fates
from hpsearch.cli.progress import TERMINAL, busy
from hpsearch.errors import HpsearchError, mask
from hpsearch.storage.address import parse_address
from hpsearch.storage.records import Evaluation, StoredStudy
from hpsearch.storage.store import Store, open_store
from hpsearch.trials import Trial
from hpsearch.workflows import report
from hpsearch.workflows.snapshot import take_snapshot


def conclude(snapshot: Snapshot, *, url: str, output: Path | None) -> None:
    """Write the result of a study to stdout, and its report to a file.

    `output` is where the report goes; None is the default place.
    """
    study = snapshot.study
    try:
        _write_results(snapshot)
    finally:  # a stdout that takes nothing does not cost the report
        with busy("Writing the report"):
            path = report.write_report(snapshot, output or report.default_report_path(url, study.spec.name))
    if output is not None:
        with open_store(url, foreign=True) as store:
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


def renew_report(store: Store, name: str, *, url: str, before: str | None = None) -> None:
    """Write the report of a study again if it has one at the default place, and its published notes if it has any.

    `before` is the name under which the report was written, if it is another one. A report that cannot be written is a
    warning: the command that changed the study has done its work.
    """
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
        say(f'Warning: what is shown of "{name}" is older than the study: {error}')


def _renew_published(store: Store, study: StoredStudy, url: str) -> None:
    """Publish figures and notes again if the study has a note of ours for servers of Optuna's own dashboard."""
    from hpsearch.dashboard.stored_notes import is_published
    from hpsearch.storage.as_optuna.storage import OptunaStorage

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

    publish(url, take_snapshot(store, study, notify=say))
    say("Published again: figures and notes for Optuna's own dashboard")


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
