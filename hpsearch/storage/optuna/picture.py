"""What this process knows of one study: its trials, and which of them have to be read again."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, final

from optuna.trial import FrozenTrial, TrialState

from hpsearch.storage.optuna.reading import Whole
from hpsearch.storage.optuna.record import Details, Head, frozen

_PRECISION: Final = timedelta(seconds=1)
"""MySQL keeps the whole seconds of a time, so one without a fraction may be as far off."""


@final
@dataclass(kw_only=True, slots=True)
class OpenTrial:
    """A trial that may still change, or that has ended since it was last read.

    `details` are its rows as last seen in the database in its present state, None before they were read. `shown` is
    the trial with what is still to be written over it, None when it must be built anew.
    """

    head: Head
    details: Details | None = None
    shown: FrozenTrial | None = None


@final
class Picture:
    """The trials of one study as this process knows them.

    A trial that has ended and was read after that is settled: it never changes and is never read again. `newest` is
    the trial with the greatest id that is known. `distributions` maps names of parameters to the JSON text of the
    distribution that one trial has for them.
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
        """Return the ids of the trials whose heads tell what has changed, beside those that are new.

        One settled trial is among them: if it is another now, its study was deleted and its id given away.
        """
        unfinished = [i for i, trial in self.open.items() if not trial.head.state.is_finished()]
        return unfinished if self._anchor is None else [*unfinished, self._anchor.trial_id]

    def agrees(self, name: str, heads: Iterable[Head]) -> bool:
        """True when these heads, of what was asked for, can be those of the study that this is a picture of."""
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
        """Take in how the study stands: its new trials, and the states of those that were not settled."""
        self.name = name
        for head in heads:
            self.last_trial_id = max(self.last_trial_id, head.trial_id)
            if head.trial_id not in self.settled:
                self.see(head)

    def see(self, head: Head) -> OpenTrial:
        """Take in the head of a trial that is not settled, and return the trial."""
        trial = self.open.get(head.trial_id)
        if trial is None:
            self.newest_trial_id = max(self.newest_trial_id, head.trial_id)
            trial = self.open[head.trial_id] = OpenTrial(head=head)
            self._trial_ids[head.number] = head.trial_id
            self._place(head.number, None)
        elif head != trial.head and (precise := _more_precise(head, trial.head)) != trial.head:
            # Its rows may be others, and what is shown there is in a state by which it would be chosen.
            trial.head, trial.details, trial.shown = precise, None, None
            self._place(head.number, None)
        return trial

    def unread(self, states: Collection[TrialState]) -> list[int]:
        """Return the ids of the trials in these states that must be read before they are shown.

        Optuna lets nobody change a waiting trial but for its state, so one reading does.
        """
        return [
            trial_id
            for trial_id, trial in self.open.items()
            if trial.head.state in states
            and (trial.details is None or trial.head.state is not TrialState.WAITING)
        ]

    def trial_id(self, number: int) -> int | None:
        """Return the id of the trial with that number, None where none is known."""
        return self._trial_ids.get(number)

    def take(self, whole: Whole) -> None:
        """Take in a trial as it is in the database. One that has ended is settled with that."""
        head, details = whole
        trial = self.see(head)
        if trial.details != details:
            trial.details, trial.shown = details, None
        for name, (_, text) in details.params.items():
            self.distributions.setdefault(name, text)
        if head.state.is_finished():
            self.settle(trial)

    def settle(self, trial: OpenTrial) -> None:
        """Keep a trial that has ended and whose rows are all known."""
        shown = self.show(trial, None)
        self._anchor = trial.head
        del self.open[trial.head.trial_id]
        self.settled[trial.head.trial_id] = shown
        self._place(trial.head.number, shown)

    def trials(self, states: Collection[TrialState], pending: Mapping[int, Details]) -> list[FrozenTrial]:
        """Return the trials in these states by number, with what is `pending` for them, by id, written over them."""
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
        """Return an open trial, whose rows were read, as Optuna shows it."""
        if trial.shown is None:
            trial.shown = frozen(trial.head, (trial.details or Details()).under(pending))
        return trial.shown

    def _place(self, number: int, shown: FrozenTrial | None) -> None:
        missing = number + 1 - len(self._slots)
        if missing > 0:
            self._slots.extend([None] * missing)
        self._slots[number] = shown


def _more_precise(head: Head, known: Head) -> Head:
    """Return `head` with the times that are known with more precision than the database keeps."""
    return replace(
        head,
        start=_nearly(head.start, known.start),
        complete=_nearly(head.complete, known.complete),
    )


def _nearly(stored: datetime | None, known: datetime | None) -> datetime | None:
    if stored is None or known is None or stored.microsecond:
        return stored
    return known if abs(stored - known) <= _PRECISION else stored
