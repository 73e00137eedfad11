"""The trials of all studies, as Optuna reads and writes them.

Values set on a running trial are pending until the transaction that changes a state, or a short time: no state change
overtakes earlier values. Reads include pending values as if they were written.
"""

import logging
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final, final

from optuna.distributions import check_distribution_compatibility
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection

from hpsearch.errors import StorageError, ValueRefusedError
from hpsearch.storage.optuna import writes
from hpsearch.storage.optuna.cache import Cache, OpenTrial, Pending
from hpsearch.storage.optuna.database import Database
from hpsearch.storage.optuna.records import (
    TEXT_SURE_BYTES,
    Details,
    Head,
    copied,
    details_of,
    distribution_of,
    value_of,
)

_log: Final = logging.getLogger(__name__)


@final
class OptunaTrials:
    """The trials of all studies in a database. Threads may share it.

    One lock guards everything, and is held during calls to the database: every thread reads every other thread's
    writes.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.RLock()
        self._cache = Cache(database)
        self._pending = Pending(self._flush_in_background)
        self._refused: dict[int, list[str]] = {}
        self._taken_names: set[str] = set()

    def all(self, study_id: int, states: Collection[TrialState]) -> list[FrozenTrial]:
        """Return a study's trials in these states by number. Raises KeyError if there is no such study."""
        with self._lock:
            study = self._cache.study_now(study_id)
            if unread := study.unread(states):
                self._cache.read(study, unread)
            return study.trials(states, self._pending.details)

    def one(self, trial_id: int) -> FrozenTrial:
        """Return a trial, as a copy if it is not final. Raises KeyError if there is none."""
        with self._lock:
            if (settled := self._cache.settled(trial_id)) is not None:
                return settled
            study = self._cache.read_one(trial_id)
            if (trial := self._cache.open(trial_id)) is None:
                return study.settled[trial_id]
            return copied(study.show(trial, self._pending.details.get(trial_id)))

    def trial_id(self, study_id: int, number: int) -> int:
        """Return the id of the trial of a study with that number. Raises KeyError if there is none."""
        with self._lock:
            trial_id = self._cache.study(study_id).trial_id(number)
            if trial_id is None:
                trial_id = self._cache.study_now(study_id).trial_id(number)
            if trial_id is None:
                raise KeyError(f"study_id {study_id}: there is no trial {number}")
            return trial_id

    def forget_study(self, study_id: int) -> None:
        """Forget a deleted study."""
        with self._lock:
            self._pending.remove(self._cache.forget_study(study_id))

    def create(self, study_id: int, template: FrozenTrial | None) -> int:
        """Store a new trial, running or as in `template`, and return its id.

        Raises KeyError if there is no such study, and ValueError for values that cannot be stored or have another kind
        of distribution than the study's other trials.
        """
        head = Head(
            trial_id=-1,
            study_id=study_id,
            number=-1,
            state=TrialState.RUNNING if template is None else template.state,
            start=datetime.now() if template is None else template.datetime_start,  # noqa: DTZ005  # as Optuna
            complete=None if template is None else template.datetime_complete,
        )
        details = Details() if template is None else details_of(template)
        with self._lock:
            for name, (_, text) in details.params.items():
                self._check_distribution(study_id, name, text)
            newest = self._cache.study(study_id).newest_trial_id
            made = self._database.write(
                lambda connection: writes.create_trial(connection, head, details, newest_trial_id=newest),
                durable=self._must_last(head.state),
            )
            trial = self._cache.see_new(made)
            trial.details = details
            if made.state.is_finished():
                self._cache.study(study_id).settle(trial)
            return made.trial_id

    def _must_last(self, state: TrialState) -> bool:
        """Return True if a power cut must not undo a new trial.

        A power cut that undoes a running trial in an SQLite file also ends its process. A server that loses a trial
        while its process lives would reuse the trial's id.
        """
        return state is not TrialState.RUNNING or self._database.address.path is None

    def set_param(self, trial_id: int, name: str, param: tuple[float, str]) -> None:
        """Set a parameter of a trial, written soon; `param` is in the form of `Details`.

        Raises KeyError, UpdateFinishedTrialError, and ValueError if the study's other trials have another kind of
        distribution under that name, or if the database refuses the row.
        """
        with self._lock:
            trial = self._settable(trial_id)
            _, text = param
            self._check_distribution(trial.head.study_id, name, text)
            self._set(trial, Details(params={name: param}))

    def set(self, trial_id: int, details: Details) -> None:
        """Set reports or attributes of a trial, written soon.

        Raises KeyError, UpdateFinishedTrialError, and ValueError if the database refuses a row.
        """
        with self._lock:
            self._set(self._settable(trial_id), details)

    def set_state(self, trial_id: int, state: TrialState, values: Sequence[float] | None) -> bool:
        """Write a trial's state and values, with all pending rows, and return whether the state changed.

        Raises KeyError, UpdateFinishedTrialError, and ValueError for a value that is NaN.
        """
        now = datetime.now()  # noqa: DTZ005  # as Optuna
        details = Details(
            values={i: value_of(value) for i, value in enumerate(() if values is None else values)}
        )
        with self._lock:
            self._writable(trial_id)
            try:
                return self._end(trial_id, state, now, details)
            except ValueRefusedError:
                if not self._pending.details:
                    raise
            self._write_apart(self._waiting())
            self._writable(trial_id)
            return self._end(trial_id, state, now, details)

    def _end(self, trial_id: int, state: TrialState, now: datetime, details: Details) -> bool:
        """Write a trial's state and `details`, with all pending rows, and return whether the state changed."""
        waiting = self._waiting()
        waiting[trial_id] = waiting.get(trial_id, Details()).under(details)

        def work(connection: Connection, again: bool) -> tuple[bool, set[int]]:  # noqa: FBT001
            changed = writes.set_state(connection, trial_id, state, now, again=again)
            return changed, writes.write_waiting(connection, waiting, held={trial_id})

        try:
            changed, written = self._database.rewrite(work)
        except (KeyError, UpdateFinishedTrialError):
            self._take_lost(trial_id)
            raise
        self._take_written(waiting, written)
        if changed:
            self._take_state(trial_id, state, now)
        return changed

    def flush(self) -> None:
        """Write all pending rows, except those that the database refuses (see `_write_apart`)."""
        with self._lock:
            if waiting := self._waiting():
                try:
                    self._write(waiting)
                except ValueRefusedError:
                    self._write_apart(waiting)

    def _write(self, waiting: Mapping[int, Details]) -> None:
        """Write rows of trials, in one transaction."""
        written = self._database.rewrite(
            lambda connection, _: writes.write_waiting(connection, waiting), durable=False
        )
        self._take_written(waiting, written)

    def _write_apart(self, waiting: Mapping[int, Details]) -> None:
        """Write each row of trials separately: a row that the database refuses affects no other.

        It is dropped with an error in the log, and its trial's next write raises.
        """
        written, refused = self._database.rewrite(
            lambda connection, _: writes.write_apart(connection, waiting), durable=False
        )
        self._take_written(waiting, written)
        for trial_id, name, error in refused:
            reason = f"{name}: {self._database.translated(error)}"
            self._refused.setdefault(trial_id, []).append(reason)
            _log.error("trial_id %d: this is not stored: %s", trial_id, reason)

    def _flush_in_background(self) -> bool:
        """Write the pending rows and return whether this should be called again."""
        with self._lock:
            is_idle = not self._pending.details
            try:
                self.flush()
            except StorageError as error:
                self._warn_of_delay(error)
            except BaseException:
                self._pending.clock_stopped()
                raise
            if is_idle or not threading.main_thread().is_alive():
                self._pending.clock_stopped()
                return False
            return True

    def _warn_of_delay(self, error: StorageError) -> None:
        if threading.main_thread().is_alive():
            _log.warning("values set on running trials are not stored yet: %s", error)
            return
        ids = ", ".join(map(str, sorted(self._pending.details)))
        _log.error("values set on trial_id %s are not stored, and the process ends: %s", ids, error)

    def _set(self, trial: OpenTrial, details: Details) -> None:
        trial.shown = None
        if self._is_doubtful(details):
            self._set_now(trial.head.trial_id, details)
            return
        self._pending.add(trial.head.trial_id, details)
        if self._pending.is_urgent:
            self.flush()
            self._writable(trial.head.trial_id)

    def _is_doubtful(self, details: Details) -> bool:
        """Return True if any database may refuse a row, for a long text or a name that is not ASCII."""
        return any(len(text) > TEXT_SURE_BYTES for text in details.texts) or any(
            not name.isascii() and name not in self._taken_names for name in details.names
        )

    def _set_now(self, trial_id: int, details: Details) -> None:
        """Write rows of a trial, with its pending ones. Raises ValueError if the database refuses them."""
        waiting = self._pending.details.get(trial_id, Details()).under(details)
        try:
            self._write({trial_id: waiting})
        except ValueRefusedError as error:
            name = ", ".join(name for name, _ in details.apart())
            raise ValueRefusedError(f"{name}: {error}") from error
        self._taken_names.update(details.names)
        self._writable(trial_id)

    def _waiting(self) -> dict[int, Details]:
        return dict(self._pending.details)

    def _settable(self, trial_id: int) -> OpenTrial:
        """Return a trial on which values may be set now. Raises as `_writable`.

        The database is queried once for all pending rows: values set in the meantime, half a second at most, may miss
        that another process ended the trial.
        """
        trial = self._writable(trial_id)
        if trial_id not in self._pending.details and not self._database.is_open(trial.head):
            self._cache.read_one(trial_id)
            return self._writable(trial_id)
        return trial

    def _writable(self, trial_id: int) -> OpenTrial:
        """Return a trial that is not known to have ended.

        Raises KeyError, UpdateFinishedTrialError, and ValueError, once, if an earlier value was refused.
        """
        if (refused := self._refused.pop(trial_id, None)) is not None:
            raise ValueRefusedError("; ".join(refused))
        if (ended := self._cache.settled(trial_id)) is not None:
            raise UpdateFinishedTrialError(writes.finished(ended.number))
        trial = self._cache.open(trial_id)
        if trial is None:
            self._cache.read_one(trial_id)
            return self._writable(trial_id)
        if trial.head.state.is_finished():
            raise UpdateFinishedTrialError(writes.finished(trial.head.number))
        return trial

    def _check_distribution(self, study_id: int, name: str, text: str) -> None:
        """Raise ValueError if the study has another kind of distribution under that name than the JSON `text`."""
        known = self._cache.study(study_id).distributions
        if name not in known:
            stored = self._database.distribution(study_id, name)
            known[name] = text if stored is None else stored
        if known[name] != text:
            check_distribution_compatibility(distribution_of(known[name]), distribution_of(text))

    def _take_written(self, waiting: Mapping[int, Details], written: Collection[int]) -> None:
        """Record that the pending rows are stored, except on trials that other processes ended or deleted meanwhile."""
        for trial_id, details in waiting.items():
            if trial_id not in written:
                self._take_lost(trial_id)
            elif (trial := self._cache.open(trial_id)) is not None and trial.details is not None:
                trial.details = trial.details.under(details)
        self._pending.remove(waiting.keys())

    def _take_lost(self, trial_id: int) -> None:
        """Record that another process ended or deleted a trial."""
        try:
            self._cache.read_one(trial_id)
            lost = "another process ended it"
        except KeyError:
            lost = "it was deleted"
        if trial_id in self._pending.details:
            _log.warning("trial_id %d: its last values are not stored: %s", trial_id, lost)
        self._pending.remove([trial_id])

    def _take_state(self, trial_id: int, state: TrialState, now: datetime) -> None:
        """Record a new state. A trial that ended is read once more: other processes may have set values on it."""
        trial = self._cache.open(trial_id)
        assert trial is not None
        start = now if state is TrialState.RUNNING else trial.head.start
        complete = now if state.is_finished() else trial.head.complete
        self._cache.see(replace(trial.head, state=state, start=start, complete=complete))
