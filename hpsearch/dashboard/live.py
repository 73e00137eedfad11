"""The current state of studies, kept in memory and updated incrementally."""

import itertools
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, final

from hpsearch.analysis.snapshot import Snapshot
from hpsearch.storage.records import StoredStudy
from hpsearch.storage.store import Store
from hpsearch.storage.trials import Mark
from hpsearch.telemetry import Series
from hpsearch.trials import Trial
from hpsearch.workflows.snapshot import assemble_snapshot

_T = TypeVar("_T")

_versions: Final = itertools.count()

_MAX_STUDIES: Final = 16
"""Maximum number of studies in memory; a large one takes tens of MB."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class StudyView:
    """A study's state at one moment. Equal `version`s mean equal states."""

    version: int
    snapshot: Snapshot
    _results: dict[str, Any] = field(default_factory=dict)
    _locks: dict[str, threading.Lock] = field(default_factory=dict)

    def cached(self, name: str, make: Callable[[Snapshot], _T]) -> _T:
        """Return the result of `make` for the snapshot, computed on first use and stored under its name."""
        # A lock for each name, so that a request for a note does not wait for a figure.
        with self._locks.setdefault(name, threading.Lock()):
            if name not in self._results:
                self._results[name] = make(self.snapshot)
            result: _T = self._results[name]
            return result


@final
class LiveStudy:
    """One study: the state read so far, with its change mark. Threads may share it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._mark: Mark | None = None
        self._trials: dict[int, Trial] = {}
        self._series: dict[int, Series] = {}
        self._view: StudyView | None = None

    def view(self, study: StoredStudy) -> StudyView:
        """Return the current state of the study. If nothing has changed, this takes a few small queries.

        Raises StudyNotFoundError if it was deleted, and StorageUnavailableError.
        """
        with self._lock:
            changed, self._mark = self._store.trials.changes(study, self._mark)
            self._trials.update((trial.number, trial) for trial in changed)
            ended = [trial.number for trial in changed if trial.state.is_final]
            if ended:
                found = self._store.trials.series(study, ended)
                self._series |= {number: series for number, series in found.items() if series}
            before = self._view
            snapshot = assemble_snapshot(
                self._store,
                study,
                tuple(self._trials[number] for number in sorted(self._trials)),
                dict(self._series),
                before=None if before is None or changed else before.snapshot,
            )
            if before is None or snapshot is not before.snapshot:
                self._view = before = StudyView(version=next(_versions), snapshot=snapshot)
            return before


@final
class LiveStudies:
    """All studies of a database; the last ones used are kept in memory. Threads may share it.

    `start_id` distinguishes its versions from those of another start of the server.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.start_id = secrets.token_hex(8)
        self._lock = threading.Lock()
        self._studies: OrderedDict[tuple[str, int], LiveStudy] = OrderedDict()

    def by_name(self, name: str) -> StudyView:
        """Return the current state of the named study. Raises StudyNotFoundError, StorageUnavailableError."""
        return self.view(self.store.studies.get_any(name))

    def by_id(self, study_id: int) -> StudyView | None:
        """Return the study with that Optuna id; None if hpsearch did not create it."""
        found = [study for study in self.store.studies.all() if study.study_id == study_id]
        return self.view(found[0]) if found else None

    def view(self, study: StoredStudy) -> StudyView:
        """Return the current state of a stored study. Raises StudyNotFoundError, StorageUnavailableError."""
        with self._lock:
            # A study that another Optuna client has copied to a new name has other trials under its key; one that
            # hpsearch did not create has no key.
            place = study.key or study.name, study.study_id
            live = self._studies.setdefault(place, LiveStudy(self.store))
            self._studies.move_to_end(place)
            while len(self._studies) > _MAX_STUDIES:
                self._studies.popitem(last=False)
        return live.view(study)
