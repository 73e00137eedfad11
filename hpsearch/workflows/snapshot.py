"""Read the current state of a study: all the data for a report."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from hpsearch.analysis.snapshot import Snapshot
from hpsearch.storage.records import StoredStudy
from hpsearch.storage.store import Store
from hpsearch.telemetry import Series
from hpsearch.trials import Trial
from hpsearch.worker.shutdown import do_nothing
from hpsearch.workflows.listener import Notify

_MOST_LISTED: Final = 5
"""Maximum number of trials that a warning lists."""


def take_snapshot(store: Store, study: StoredStudy, *, notify: Notify = do_nothing) -> Snapshot:
    """Read all the data for a report; series that cannot be read cause a warning."""
    store.queue.sweep(study)
    trials = store.trials.all(study)
    series = read_series(store, study, [trial.number for trial in trials], notify=notify)
    return assemble_snapshot(store, study, trials, series)


def assemble_snapshot(
    store: Store,
    study: StoredStudy,
    trials: Sequence[Trial],
    series: Mapping[int, Series],
    *,
    before: Snapshot | None = None,
) -> Snapshot:
    """Return `trials` and `series`, which are read already, with all other current data of the study.

    `before` is an earlier snapshot of the same trials and series: it is returned if the study has not changed since.
    """
    now = Snapshot(
        study=store.trials.shown_study(study),
        progress=store.studies.progress(study),
        trials=trials,
        series=series,
        taken=datetime.now(UTC),
        evaluations=store.evaluations.all(study),
        unsealing=store.evaluations.unsealing(study),
    )
    if before is not None and _is_same(before, now):
        return before
    return replace(now, attempts=store.trials.all_attempts(study), workers=store.workers.all())


def _is_same(one: Snapshot, other: Snapshot) -> bool:
    """Return True if two snapshots of the same trials agree about their study."""
    return (one.study, one.progress, one.evaluations, one.unsealing) == (
        other.study,
        other.progress,
        other.evaluations,
        other.unsealing,
    )


def read_series(
    store: Store, study: StoredStudy, numbers: Sequence[int], *, notify: Notify = do_nothing
) -> dict[int, Series]:
    """Return number -> series for the trials that have any, and warn of series that cannot be read."""
    found = store.trials.series(study, numbers)
    unreadable = [number for number, series in found.items() if series is None]
    if unreadable:
        listed = ", ".join(map(str, unreadable[:_MOST_LISTED]))
        more = f" and {len(unreadable) - _MOST_LISTED:,} more" if len(unreadable) > _MOST_LISTED else ""
        trials = "trial" if len(unreadable) == 1 else "trials"
        notify(
            f'Warning: study "{study.name}": the series of {trials} {listed}{more} cannot be read and are left out: '
            "see `hpsearch storage check --full`"
        )
    return {number: series for number, series in found.items() if series}
