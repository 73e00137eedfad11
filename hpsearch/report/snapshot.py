"""What a report is made from: one study as it stood at one moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import final

from hpsearch.records import Series, Trial
from hpsearch.storage.records import Progress, StoredStudy


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """A study with its trials, read from the database at `taken` (aware, UTC).

    `series` maps trial numbers to per-epoch series; trials without an entry have none.
    """

    study: StoredStudy
    progress: Progress
    trials: Sequence[Trial]
    series: Mapping[int, Series]
    taken: datetime
