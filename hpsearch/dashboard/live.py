"""Studies as they stand now, kept in memory and brought up to date by what has changed."""

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
from hpsearch.storage.trial_reads import Mark
from hpsearch.telemetry import Series
from hpsearch.trials import Trial
from hpsearch.workflows.snapshot import assemble_snapshot

_T = TypeVar("_T")

_versions: Final = itertools.count()

_KEPT: Final = 16
"""So many studies stay in memory; a large one takes tens of MB."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """A study as it stood at one look. Two looks with the same `version` saw the same."""

    version: int
    snapshot: Snapshot
    _made: dict[str, Any] = field(default_factory=dict)
    _locks: dict[str, threading.Lock] = field(default_factory=dict)

    def once(self, name: str, make: Callable[[Snapshot], _T]) -> _T:
        """Return what `make` makes of the snapshot: made for the first who asks, and kept under its name."""
        # A lock for each name: who wants a note does not wait for a figure.
        with self._locks.setdefault(name, threading.Lock()):
            if name not in self._made:
                self._made[name] = make(self.snapshot)
            made: _T = self._made[name]
            return made


@final
class LiveStudy:
    """One study: what was read of it so far, and how far that goes. Threads may share it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._mark: Mark | None = None
        self._trials: dict[int, Trial] = {}
        self._series: dict[int, Series] = {}
        self._seen: Seen | None = None

    def look(self, study: StoredStudy) -> Seen:
        """Return the study as it stands now. Where nothing has changed that costs a few small queries.

        Raises StudyNotFoundError when it was deleted, and StorageUnavailableError.
        """
        with self._lock:
            changed, self._mark = self._store.changes(study, self._mark)
            self._trials.update((trial.number, trial) for trial in changed)
            ended = [trial.number for trial in changed if trial.state.is_final]
            if ended:
                found = self._store.series(study, ended)
                self._series |= {number: series for number, series in found.items() if series}
            before = self._seen
            snapshot = assemble_snapshot(
                self._store,
                study,
                tuple(self._trials[number] for number in sorted(self._trials)),
                dict(self._series),
                before=None if before is None or changed else before.snapshot,
            )
            if before is None or snapshot is not before.snapshot:
                self._seen = before = Seen(version=next(_versions), snapshot=snapshot)
            return before


@final
class LiveStudies:
    """All studies of a database, those that were looked at last in memory. Threads may share it.

    `began` tells its versions from those of another start.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.began = secrets.token_hex(8)
        self._lock = threading.Lock()
        self._studies: OrderedDict[tuple[str, int], LiveStudy] = OrderedDict()

    def named(self, name: str) -> Seen:
        """Return the study of that name as it stands now. Raises StudyNotFoundError, StorageUnavailableError."""
        return self.look(self.store.any_study(name))

    def numbered(self, study_id: int) -> Seen | None:
        """Return the study that Optuna knows under that id; None where hpsearch did not make it."""
        found = [study for study in self.store.studies() if study.study_id == study_id]
        return self.look(found[0]) if found else None

    def look(self, study: StoredStudy) -> Seen:
        """Return a stored study as it stands now. Raises StudyNotFoundError, StorageUnavailableError."""
        with self._lock:
            # A study that another Optuna client has copied to a new name has other trials under its key; one that
            # hpsearch did not make has no key.
            place = study.key or study.name, study.study_id
            live = self._studies.setdefault(place, LiveStudy(self.store))
            self._studies.move_to_end(place)
            while len(self._studies) > _KEPT:
                self._studies.popitem(last=False)
        return live.look(study)
