"""The input of a report: one study as it was at one moment."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar, final

from hpsearch.storage.records import (
    Attempt,
    Evaluation,
    Progress,
    StoredStudy,
    Unsealing,
    WorkerRecord,
)
from hpsearch.telemetry import Series
from hpsearch.trials import Trial

_T = TypeVar("_T")


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """A study with its trials, read from the database at `taken` (aware, UTC).

    `series` maps trial numbers to per-epoch series, `attempts` to unfinished attempts; trials without an entry have
    none. `workers` are those registered with the database, of this study or not. `evaluations` are trials'
    configurations with other seeds; `unsealing` is None while the sealed test part is closed.
    """

    study: StoredStudy
    progress: Progress
    trials: Sequence[Trial]
    series: Mapping[int, Series]
    taken: datetime
    attempts: Mapping[int, Sequence[Attempt]] = field(default_factory=dict)
    workers: Sequence[WorkerRecord] = ()
    evaluations: Sequence[Evaluation] = ()
    unsealing: Unsealing | None = None
    _derived: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def derived(self, name: str, make: Callable[["Snapshot"], _T]) -> _T:
        """Return `make(self)`, computed on first use and stored under its name: several figures need the same."""
        if name not in self._derived:
            self._derived[name] = make(self)
        result: _T = self._derived[name]
        return result
