"""Publication of figures and notes in the database, for servers of Optuna's dashboard without hpsearch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, final

from optuna import Study
from optuna_dashboard import save_plotly_graph_object

from hpsearch.analysis.snapshot import Snapshot
from hpsearch.dashboard.figures import study_figures
from hpsearch.dashboard.notes import (
    StoredNote,
    note_attributes,
    published_study_note,
    published_trial_note,
    signed,
    stored_note,
    version_key,
)
from hpsearch.report.figures.catalogue import exhibits
from hpsearch.storage.optuna.storage import OptunaStorage

AT_ONCE: Final = 200
"""Maximum number of notes written in one transaction."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """Numbers of figures and notes written, of notes that were already current, and of users' notes."""

    figures: int
    notes: int
    unchanged: int
    users: int


def publish(url: str, snapshot: Snapshot) -> Published:
    """Write the figures and notes of a study and its ended trials to the place that any Optuna dashboard reads.

    Earlier publications are replaced; a note that a user wrote or changed is kept. Raises StorageError.
    """
    storage = OptunaStorage(url)
    try:
        figures = _publish_figures(storage, snapshot)
        return _publish_notes(storage, snapshot, figures=figures)
    finally:
        storage.remove_session()


def _publish_figures(storage: OptunaStorage, snapshot: Snapshot) -> int:
    study = Study(study_name=snapshot.study.spec.name, storage=storage)
    figures = study_figures(exhibits(snapshot))
    for name, figure in figures.items():
        save_plotly_graph_object(study, figure, graph_object_id=name)
    return len(figures)


def _publish_notes(storage: OptunaStorage, snapshot: Snapshot, *, figures: int) -> Published:
    study_id = snapshot.study.study_id
    attributes = storage.get_study_system_attrs(study_id)
    current = _notes(storage, snapshot)
    before = {trial_id: stored_note(attributes, trial_id) for trial_id in current}
    free = {trial_id: note for trial_id, note in before.items() if note.is_free}
    stale = [trial_id for trial_id, note in free.items() if note.body != current[trial_id]]
    written = 0
    for first in range(0, len(stale), AT_ONCE):
        part = {trial_id: free[trial_id] for trial_id in stale[first : first + AT_ONCE]}
        written += _write(storage, study_id, part, current)
    unchanged = len(free) - len(stale)
    return Published(
        figures=figures, notes=written, unchanged=unchanged, users=len(current) - unchanged - written
    )


def _notes(storage: OptunaStorage, snapshot: Snapshot) -> dict[int | None, str]:
    """Return the notes by the trial's id; that of the study under None."""
    ids = {
        trial.number: trial._trial_id  # noqa: SLF001  # Optuna has no other name for it
        for trial in storage.get_all_trials(snapshot.study.study_id, deepcopy=False)
    }
    ended = [trial for trial in snapshot.trials if trial.state.is_final and trial.number in ids]
    return {
        None: signed(published_study_note(snapshot)),
        **{ids[trial.number]: signed(published_trial_note(trial)) for trial in ended},
    }


def _write(
    storage: OptunaStorage,
    study_id: int,
    before: Mapping[int | None, StoredNote],
    current: Mapping[int | None, str],
) -> int:
    """Write notes in one transaction and return how many; skip a note with a new version, which is now a user's."""
    written = 0

    def revise(versions: Mapping[str, Any]) -> dict[str, Any]:
        nonlocal written
        same = [i for i, note in before.items() if versions.get(version_key(i), 0) == note.version]
        written = len(same)
        changes = (note_attributes(before[i], i, current[i]) for i in same)
        return {key: value for change in changes for key, value in change.items()}

    storage.revise_study_system_attrs(study_id, [version_key(i) for i in before], revise)
    return written
