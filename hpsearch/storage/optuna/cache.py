"""The cached state of all studies: their trials, those to read again, and the pending writes.

Values set on a running trial are written with the next change of a state, or soon after.
"""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, final

from optuna.trial import FrozenTrial, TrialState

from hpsearch.storage.optuna.database import Database, Whole
from hpsearch.storage.optuna.records import Details, Head, frozen
from hpsearch.trials import collection_paused

_PRECISION: Final = timedelta(seconds=1)
"""MySQL stores times in whole seconds, so a time without a fraction may be off by this much."""


@final
@dataclass(kw_only=True, slots=True)
class OpenTrial:
    """A trial that may still change, or that has ended since the last read.

    `details` are its rows as last read from the database in its present state, None until they are read. `shown` is the
    trial including pending writes, None if it must be rebuilt.
    """

    head: Head
    details: Details | None = None
    shown: FrozenTrial | None = None


@final
class CachedStudy:
    """The cached trials of one study.

    A trial that has ended and was read after its end is settled: it never changes and is never read again. `newest` is
    the trial with the greatest known id. `distributions` maps names of parameters to the JSON text of the distribution
    that one trial has for them.
    """

    def __init__(self, study_id: int) -> None:
        self.study_id = study_id
        self.name: str | None = None
        self.last_trial_id = -1
        self.newest_trial_id = -1
        self.open: dict[int, OpenTrial] = {}
        self.settled: dict[int, FrozenTrial] = {}
        self.distributions: dict[str, str] = {}
        self._trial_ids: dict[int, int] = {}
        self._slots: list[FrozenTrial | None] = []
        self._anchor: Head | None = None

    def asked(self) -> list[int]:
        """Return the ids of the trials whose heads reveal changes, in addition to new trials.

        They include one settled trial: if it has changed, its study was deleted and its id reused.
        """
        unfinished = [i for i, trial in self.open.items() if not trial.head.state.is_finished()]
        return unfinished if self._anchor is None else [*unfinished, self._anchor.trial_id]

    def agrees(self, name: str, heads: Iterable[Head]) -> bool:
        """Return True if these heads, of the requested trials, can be those of the study cached here."""
        if self.name not in (None, name):
            return False
        there = {head.trial_id: head for head in heads}
        anchor = self._anchor
        if anchor is not None:
            head = there.get(anchor.trial_id)
            if head is None or _more_precise(head, anchor) != anchor:
                return False
        return all(
            trial_id in there and there[trial_id].number == self.open[trial_id].head.number
            for trial_id in self.asked()
            if trial_id in self.open
        )

    def look(self, name: str, heads: Iterable[Head]) -> None:
        """Update the study: add new trials, and update the states of those that were not settled."""
        self.name = name
        for head in heads:
            self.last_trial_id = max(self.last_trial_id, head.trial_id)
            if head.trial_id not in self.settled:
                self.see(head)

    def see(self, head: Head) -> OpenTrial:
        """Update the head of a trial that is not settled, and return the trial."""
        trial = self.open.get(head.trial_id)
        if trial is None:
            self.newest_trial_id = max(self.newest_trial_id, head.trial_id)
            trial = self.open[head.trial_id] = OpenTrial(head=head)
            self._trial_ids[head.number] = head.trial_id
            self._place(head.number, None)
        elif head != trial.head and (precise := _more_precise(head, trial.head)) != trial.head:
            # Its rows may have changed, and `shown` has the old state, by which trials are selected.
            trial.head, trial.details, trial.shown = precise, None, None
            self._place(head.number, None)
        return trial

    def unread(self, states: Collection[TrialState]) -> list[int]:
        """Return the ids of the trials in these states that must be read to show them.

        Optuna permits no change of a waiting trial except of its state, so one read suffices.
        """
        return [
            trial_id
            for trial_id, trial in self.open.items()
            if trial.head.state in states
            and (trial.details is None or trial.head.state is not TrialState.WAITING)
        ]

    def trial_id(self, number: int) -> int | None:
        """Return the id of the trial with that number, None if none is known."""
        return self._trial_ids.get(number)

    def take(self, whole: Whole) -> None:
        """Store a trial as read from the database. One that has ended becomes settled."""
        head, details = whole
        trial = self.see(head)
        if trial.details != details:
            trial.details, trial.shown = details, None
        for name, (_, text) in details.params.items():
            self.distributions.setdefault(name, text)
        if head.state.is_finished():
            self.settle(trial)

    def settle(self, trial: OpenTrial) -> None:
        """Store a trial that has ended and whose rows are all known."""
        shown = self.show(trial, None)
        self._anchor = trial.head
        del self.open[trial.head.trial_id]
        self.settled[trial.head.trial_id] = shown
        self._place(trial.head.number, shown)

    def trials(self, states: Collection[TrialState], pending: Mapping[int, Details]) -> list[FrozenTrial]:
        """Return the trials in these states by number, including their `pending` rows (by id)."""
        chosen = {i: trial for i, trial in self.open.items() if trial.head.state in states}
        for trial_id, trial in chosen.items():
            self._place(trial.head.number, self.show(trial, pending.get(trial_id)))
        if not any(state.is_finished() for state in states):
            return sorted(
                (trial.shown for trial in chosen.values() if trial.shown is not None), key=lambda t: t.number
            )
        if len(states) == len(TrialState):
            return [trial for trial in self._slots if trial is not None]
        return [trial for trial in self._slots if trial is not None and trial.state in states]

    def show(self, trial: OpenTrial, pending: Details | None) -> FrozenTrial:
        """Return an open trial, whose rows have been read, as Optuna shows it."""
        if trial.shown is None:
            trial.shown = frozen(trial.head, (trial.details or Details()).under(pending))
        return trial.shown

    def _place(self, number: int, shown: FrozenTrial | None) -> None:
        missing = number + 1 - len(self._slots)
        if missing > 0:
            self._slots.extend([None] * missing)
        self._slots[number] = shown


def _more_precise(head: Head, known: Head) -> Head:
    """Return `head` with times that are known more precisely than the database stores them."""
    return replace(
        head,
        start=_nearly(head.start, known.start),
        complete=_nearly(head.complete, known.complete),
    )


def _nearly(stored: datetime | None, known: datetime | None) -> datetime | None:
    if stored is None or known is None or stored.microsecond:
        return stored
    return known if abs(stored - known) <= _PRECISION else stored


@final
class Cache:
    """Studies by id, and the study of each known trial. Its owner's lock guards it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._studies: dict[int, CachedStudy] = {}
        self._study_ids: dict[int, int] = {}

    def study(self, study_id: int) -> CachedStudy:
        """Return the cached study, possibly an empty one, without reading."""
        return self._studies.setdefault(study_id, CachedStudy(study_id))

    def study_now(self, study_id: int) -> CachedStudy:
        """Return the cached study with every trial's present state.

        Raises KeyError if there is no such study.
        """
        name, heads = self._look(study_id)
        if not self.study(study_id).agrees(name, heads):
            # It was deleted, and another study received its id.
            self.forget_study(study_id)
            name, heads = self._look(study_id)
        study = self.study(study_id)
        study.look(name, heads)
        self._study_ids.update((head.trial_id, study_id) for head in heads)
        return study

    def _look(self, study_id: int) -> tuple[str, list[Head]]:
        study = self.study(study_id)
        last, asked = study.last_trial_id, study.asked()
        try:
            return self._database.heads(study_id, last_trial_id=last, ids=asked)
        except KeyError:
            self.forget_study(study_id)
            raise

    def settled(self, trial_id: int) -> FrozenTrial | None:
        """Return the trial, with its final rows, if it is known to have ended."""
        study_id = self._study_ids.get(trial_id)
        return None if study_id is None else self._studies[study_id].settled.get(trial_id)

    def open(self, trial_id: int) -> OpenTrial | None:
        """Return the trial if it is known and not settled."""
        study_id = self._study_ids.get(trial_id)
        return None if study_id is None else self._studies[study_id].open.get(trial_id)

    def see(self, head: Head) -> OpenTrial:
        """Update the head of a trial that is not settled, and return the trial."""
        self._study_ids[head.trial_id] = head.study_id
        return self.study(head.study_id).see(head)

    def see_new(self, head: Head) -> OpenTrial:
        """Store the head of a new trial, and return the trial."""
        if (study_id := self._study_ids.get(head.trial_id)) is not None:
            # An older trial had that id, and its study was deleted.
            self.forget_study(study_id)
        return self.see(head)

    @collection_paused()
    def read(self, study: CachedStudy, ids: Sequence[int]) -> None:
        """Read the trials with these ids of a study, any number of them."""
        for whole in self._database.trials_of(study.study_id, ids):
            study.take(whole)

    def read_one(self, trial_id: int) -> CachedStudy:
        """Read a trial and return its study as cached. Raises KeyError if there is no such trial."""
        wholes = self._database.trials([trial_id])
        study_id = self._study_ids.get(trial_id)
        if study_id is not None and (not wholes or wholes[0][0].study_id != study_id):
            self.forget_study(study_id)
        if not wholes:
            raise KeyError(f"trial_id {trial_id}: there is no such trial")
        head, _ = wholes[0]
        self._study_ids[trial_id] = head.study_id
        study = self.study(head.study_id)
        study.take(wholes[0])
        return study

    def forget_study(self, study_id: int) -> list[int]:
        """Forget a deleted study, and return the ids of its trials that had not ended."""
        study = self._studies.pop(study_id, None)
        if study is None:
            return []
        for trial_id in (*study.open, *study.settled):
            self._study_ids.pop(trial_id, None)
        return list(study.open)


FLUSH_AFTER_S: Final = 0.5
"""Values set on a running trial are written after this time, unless a change of a state writes them earlier."""

ROWS_MAX: Final = 5000
"""Number of pending rows from which on they are written immediately."""

CHARACTERS_MAX: Final = 2**22
"""Characters of pending JSON text from which on it is written immediately."""

_TICK_S: Final = 0.05
"""How long the end of the interpreter may have to wait for the clock."""


@final
class Pending:
    """Pending rows of trials, by trial id. Its owner's lock guards it.

    A clock in a thread of its own calls `write`, which writes the pending rows, while there are any. The thread is no
    daemon: the interpreter ends only after it has written.
    """

    def __init__(self, write: Callable[[], bool]) -> None:
        """Call `write` periodically, until it returns False."""
        self.details: dict[int, Details] = {}
        self._write = write
        self._rows = self._characters = 0
        self._clock: threading.Thread | None = None

    @property
    def is_urgent(self) -> bool:
        """True if the pending rows should be written immediately."""
        is_much = self._rows >= ROWS_MAX or self._characters >= CHARACTERS_MAX
        return bool(self.details) and (is_much or self._clock is None)

    def add(self, trial_id: int, details: Details) -> None:
        """Add `details` of a trial to the pending rows, replacing earlier ones."""
        there = self.details.setdefault(trial_id, Details())
        there.params.update(details.params)
        there.reports.update(details.reports)
        there.user_attributes.update(details.user_attributes)
        there.system_attributes.update(details.system_attributes)
        self._rows += len(details)
        self._characters += sum(map(len, details.texts))
        if self._clock is None:
            self._start_clock()

    def remove(self, trial_ids: Collection[int]) -> None:
        """Forget the pending rows of these trials: they were written or are no longer needed."""
        for trial_id in trial_ids:
            self.details.pop(trial_id, None)
        if not self.details:
            self._rows = self._characters = 0

    def clock_stopped(self) -> None:
        """Record that the clock stops: the next row starts another one."""
        self._clock = None

    def _start_clock(self) -> None:
        # Starting a thread costs as much as a query, so one thread serves many trials.
        clock = threading.Thread(target=self._run, name="hpsearch-optuna-storage", daemon=False)
        try:
            clock.start()
        except RuntimeError:
            # The interpreter is ending and starts no more threads: `is_urgent` is then true.
            return
        self._clock = clock

    def _run(self) -> None:
        going_on = True
        while going_on:
            began = time.monotonic()
            while threading.main_thread().is_alive() and time.monotonic() - began < FLUSH_AFTER_S:
                time.sleep(_TICK_S)
            going_on = self._write()
