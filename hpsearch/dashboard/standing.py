"""How all studies of a database stand."""

import contextlib

from hpsearch.errors import StudyNotFoundError
from hpsearch.storage.records import Progress, StoredStudy
from hpsearch.storage.store import Store


def standing(store: Store) -> list[tuple[StoredStudy, Progress]]:
    """Return all studies with their progress, oldest first; one that is deleted meanwhile is left out."""
    found = []
    for study in store.studies():
        with contextlib.suppress(StudyNotFoundError):
            found.append((study, store.progress(study)))
    return found
