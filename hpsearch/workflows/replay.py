"""Train stored trials again and check the results."""

from hpsearch.storage.store import Store
from hpsearch.study.settings import settings_as_usage_errors
from hpsearch.worker.replay import Replay, ReplayRequest, StoredTrial, replay
from hpsearch.workflows.listener import SILENT, Listener, Notify, ignore
from hpsearch.workflows.snapshot import read_series


def read_trial(store: Store, name: str, number: int, *, notify: Notify = ignore) -> StoredTrial:
    """Return a stored trial. Raises StudyNotFoundError and TrialNotFoundError."""
    study = store.studies.get(name)
    series = read_series(store, study, [number], notify=notify)
    return StoredTrial(study=study, trial=store.trials.get(study, number), series=series.get(number, {}))


def replay_trial(stored: StoredTrial, request: ReplayRequest, *, listener: Listener = SILENT) -> Replay:
    """Train a trial again, check it against the stored results, and train it with other settings if any are given.

    Raises HpsearchError if it cannot be trained, and UsageError for settings that do not fit it.
    """
    with listener.stage("Training it again"), settings_as_usage_errors(request.settings):
        return replay(stored, request)
