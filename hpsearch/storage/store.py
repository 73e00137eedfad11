"""The database of studies, for workers, reports and commands. One public method is one transaction."""

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar, final

from sqlalchemy import Connection, Engine

from hpsearch.errors import StorageReadOnlyError, StudyNotFoundError
from hpsearch.storage import (
    claims,
    creation,
    evaluations,
    foreign_studies,
    foreign_trials,
    leases,
    migration,
    orphans,
    progress,
    studies,
    trial_reads,
    trial_writes,
    workers,
)
from hpsearch.storage.address import Address, parse_address, prepare_file
from hpsearch.storage.driver_errors import attempt, tries
from hpsearch.storage.engine import close_connections, make_engine, reading, writing
from hpsearch.storage.expiry import Watch
from hpsearch.storage.records import (
    Assignment,
    Attempt,
    Beat,
    ClaimedTrial,
    Evaluation,
    ForeignTrial,
    Listed,
    Opening,
    Place,
    Progress,
    StoredStudy,
    UnreadableStudy,
    Unsealing,
    Update,
    WorkerIdentity,
    WorkerRecord,
)
from hpsearch.storage.studies import LockedStudy
from hpsearch.storage.trial_reads import Mark
from hpsearch.study.spec import StudySpec
from hpsearch.telemetry import Series
from hpsearch.trials import ParameterValue, Trial, TrialState

_T = TypeVar("_T")
_P = ParamSpec("_P")


def open_store(url: str, *, create: bool = True, foreign: bool = False) -> "Store":
    """Return the database at `url`, after checking that it is reachable and its schemas have fitting versions.

    With `create`, create whatever is missing: an SQLite file and its folder, Optuna's tables and ours. With `foreign`,
    tables may be missing and stay missing: the studies of other Optuna clients can be read. Raises StorageError, and
    StorageUnavailableError if a server does not answer.
    """
    address = parse_address(url)
    create = create and not foreign
    prepare_file(address, create=create)
    engine = make_engine(address)
    try:
        if foreign:
            found = attempt(lambda: migration.checked(engine, address), address)
            store = Store(engine, address, found=found)
        else:
            is_new = attempt(lambda: migration.ensure(engine, address, create=create), address)
            store = Store(engine, address, is_new=is_new)
        store.sweep_orphans()
    except BaseException:
        engine.dispose()
        raise
    return store


@final
class Store:
    """The database of studies. Threads may share it, and so may the child of a fork.

    Every method raises StorageUnavailableError if the database does not answer; the same call may succeed later.
    Methods that take a study raise StudyNotFoundError if it was deleted; `assign` and `record` return its trials as
    lost instead. A database that `is_new` had no tables before it was opened. Methods that read also accept studies of
    other Optuna clients; those that write raise ForeignStudyError.
    """

    def __init__(
        self,
        engine: Engine,
        address: Address,
        *,
        is_new: bool = False,
        found: migration.Revisions | None = None,
    ) -> None:
        self._engine = engine
        self._address = address
        self._watch = Watch()
        self.is_new = is_new
        self._has_theirs = found is None or found.optuna is not None
        self.has_ours = self._has_theirs and (found is None or found.hpsearch is not None)

    @property
    def url_shown(self) -> str:
        """The URL as the user gave it, with its password masked."""
        return self._address.shown

    @property
    def has_studies(self) -> bool:
        """True if there are tables that may hold studies, made by any client."""
        return self._has_theirs

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections. Leases stay until they expire."""
        close_connections(self._engine)

    def create_study(
        self,
        spec: StudySpec,
        *,
        fingerprint: str,
        parent: StoredStudy | None = None,
        enqueued: Sequence[Mapping[str, ParameterValue]] = (),
    ) -> StoredStudy:
        """Store a study whose `spec` is resolved, and return it. Of two concurrent calls exactly one creates it.

        If the same search over the same data is already stored, return that study with its budget unchanged. `parent`
        is the study that it follows up; a new study starts with the configurations in `enqueued`. Raises
        StudyExistsError, naming the differences, if the name belongs to another study.
        """
        return self.write(creation.created, spec, fingerprint, parent=parent, enqueued=enqueued)

    def study(self, name: str) -> StoredStudy:
        """Return the study of that name.

        Raises StudyUnreadableError if this version cannot read it, and StudyNotFoundError with the nearest names, or
        with the hint that another Optuna client made the study.
        """
        self._check_tables(name)
        return self._after_sweep(studies.find, name)

    def followed(self, study: StoredStudy) -> StoredStudy:
        """Return the study's current state, also under another name or, after another client's rename, another id.

        Raises StudyNotFoundError if it was deleted.
        """
        self.sweep_orphans()
        return self._read(studies.current, study)

    def any_study(self, name: str) -> StoredStudy:
        """Return the study of that name, made by any client.

        Raises StudyUnreadableError if this version cannot read it, and StudyNotFoundError with the nearest names.
        """

        def find(connection: Connection, name: str) -> StoredStudy:
            found = studies.named(connection, name) if self.has_ours else None
            if found is None and (found := foreign_studies.find(connection, name)) is None:
                raise studies.not_found(connection, name)
            return found

        if not self._has_theirs:
            self._check_tables(name)
        study = self._after_sweep(find, name)
        is_copy = study.foreign is not None and self.sweep_orphans()
        return self._read(find, name) if is_copy else study

    def _after_sweep(self, find: Callable[[Connection, str], StoredStudy], name: str) -> StoredStudy:
        """Return the result of `find`, if necessary after following studies that other Optuna clients renamed."""
        try:
            return self._read(find, name)
        except StudyNotFoundError:
            if not self.sweep_orphans():
                raise
            return self._read(find, name)

    def listing(self) -> list[Listed]:
        """Return all studies, made by any client, oldest first, with their progress.

        If this store may write, first sweep leases that are over and follow studies that other Optuna clients renamed.
        """
        if not self._has_theirs:
            return []
        self.sweep_orphans()
        self.sweep_all()
        found = self._read(progress.listing, has_ours=self.has_ours)
        self._note([trial for one in found if one.progress is not None for trial in one.progress.foreign])
        return found

    def count_trials(self, name: str) -> dict[TrialState, int]:
        """Return the number of trials in each state of the named study, made by any client, readable or not."""
        if not self._has_theirs:
            self._check_tables(name)
        return self._read(progress.count_trials, name)

    def _check_tables(self, name: str) -> None:
        """Raise StudyNotFoundError if no tables exist that could hold a study of ours with that name."""
        if not self._has_theirs:
            raise StudyNotFoundError(
                f'study "{name}": there is no such study: {self.url_shown} holds none, check the URL'
            )
        if not self.has_ours:
            raise self._read(studies.not_found, name)

    def studies(self) -> list[StoredStudy]:
        """Return all studies that hpsearch made and that can be read, oldest first."""
        if not self.has_ours:
            return []
        self.sweep_orphans()
        return self._read(studies.every)

    def foreign_studies(self) -> list[str]:
        """Return the names of the studies that other Optuna clients made."""
        if self.has_ours:
            return self._read(studies.foreign)
        return [listed.name for listed in self.listing()]

    def set_budget(self, study: StoredStudy, trials: int) -> StoredStudy:
        """Set the budget and return the updated study. Workers apply it from their next claim on.

        A budget below the number of finished and running trials stops none of them. Raises ValueError below 1.
        """
        if trials < 1:
            raise ValueError(f"trials: must be at least 1 (got {trials})")
        return self.change(study, studies.set_budget, trials)

    def set_priority(self, study: StoredStudy, priority: int) -> StoredStudy:
        """Set the priority and return the updated study. Workers without a study of their own read it next."""
        return self.change(study, studies.set_priority, priority)

    def pause(self, study: StoredStudy, *, by: str) -> str:
        """Pause the study: claims return no trials until it is resumed. Return who paused it and when.

        Trials in training run to their end. A study that is already paused is unchanged.
        """
        return self.change(study, studies.pause, by)

    def resume(self, study: StoredStudy) -> bool:
        """Resume the study: claims return trials again. Return whether it was paused."""
        return self.change(study, studies.resume)

    def delete_named(self, name: str) -> None:
        """Delete the study of that name, made by any client, readable or not. Workers that train it lose their leases.

        Raises StudyNotFoundError.
        """

        def delete(connection: Connection, place: Place) -> None:
            studies.remove(connection, place)
            if self.has_ours:
                orphans.sweep(connection)

        self.write_to(name, delete)

    def write_to(self, name: str, work: Callable[[Connection, Place], _T]) -> _T:
        """Return the result of `work` on the named study, made by any client, in one durable transaction.

        Raises StudyNotFoundError with the nearest names.
        """
        if not self._has_theirs:
            self._check_tables(name)
        self.sweep_orphans()

        def change(connection: Connection) -> _T:
            return work(connection, studies.place_named(connection, name, has_ours=self.has_ours))

        return self.write(change)

    def sweep_orphans(self) -> bool:
        """If this store may write, follow studies that other Optuna clients renamed and forget those they deleted.

        Return whether there was anything to sweep.
        """
        found = self.has_ours and self._read(orphans.has_orphans)
        if found:
            with contextlib.suppress(StorageReadOnlyError):
                self.write(orphans.sweep)
        return found

    def trials(self, study: StoredStudy) -> list[Trial]:
        """Return all trials by number."""
        return self._read(trial_reads.trials, study)

    def trial(self, study: StoredStudy, number: int) -> Trial:
        """Return one trial. Raises TrialNotFoundError."""
        return self._read(trial_reads.trial, study, number)

    def attempts(self, study: StoredStudy, number: int) -> list[Attempt]:
        """Return the unsuccessful attempts at a trial, oldest first."""
        if study.foreign is not None:
            return []
        return self._read(trial_reads.attempts, study, number)

    def every_attempt(self, study: StoredStudy) -> dict[int, list[Attempt]]:
        """Return number -> unsuccessful attempts, oldest first, for the trials that have any."""
        if study.foreign is not None:
            return {}
        return self._read(trial_reads.every_attempt, study)

    def evaluations(self, study: StoredStudy) -> list[Evaluation]:
        """Return the evaluations of trials' configurations with other seeds, by number, part and seed."""
        if study.foreign is not None:
            return []
        return self._read(evaluations.evaluations, study)

    def write_evaluations(self, study: StoredStudy, made: Sequence[Evaluation]) -> None:
        """Store evaluations, replacing those of the same number, part and seed; their times are the database's."""
        self.change(study, evaluations.write, made)

    def unsealing(self, study: StoredStudy) -> Unsealing | None:
        """Return how the study's sealed test part was opened, or None if it never was."""
        if study.foreign is not None:
            return None
        return self._read(evaluations.unsealing, study)

    def unseal(self, study: StoredStudy, *, number: int, command: str, seeds: int | None = None) -> Unsealing:
        """Record permanently that the sealed test part is opened for trial `number`; return the first call's record."""
        return self.change(study, evaluations.unseal, number=number, command=command, seeds=seeds)

    def changes(self, study: StoredStudy, since: Mark | None) -> tuple[list[Trial], Mark]:
        """Return the trials that are new or changed since the mark, by number, and the next mark.

        The mark None stands for the beginning. If nothing has changed, this is one small query.
        """
        return self._read(trial_reads.changes, study, since or Mark())

    def series(self, study: StoredStudy, numbers: Sequence[int]) -> dict[int, Series | None]:
        """Return number -> series, float32, of those trials among `numbers` that have ended with one.

        None stands for series that are damaged or written by a newer hpsearch.
        """
        if study.foreign is not None:
            return {}
        return self._read(trial_reads.series, study, numbers)

    def progress(self, study: StoredStudy, *, living: Collection[str] = ()) -> Progress:
        """Return the study's progress, after sweeping leases that are over if this store may write.

        Leases of workers in `living`, which the caller can see alive, are kept.
        """
        self.sweep(study, living=living)
        found = self._read(progress.progress, study)
        self._note(found.foreign)
        return found

    def opening(self, study: StoredStudy) -> Opening:
        """Return the study's remaining work, after sweeping leases that are over if this store may write."""
        self.sweep(study)
        found = self._read(progress.opening, study)
        self._note(found.foreign)
        return found

    def openings(self, *, above: StoredStudy | None = None) -> list[Opening]:
        """Return the remaining work of all studies, or of those with a priority higher than `above`.

        Studies of higher priority come first, and of equals the older ones; unreadable studies are left out. If this
        store may write, first sweep leases that are over and follow studies that other Optuna clients renamed.
        """
        return self.look(above=above)[0]

    def look(self, *, above: StoredStudy | None = None) -> tuple[list[Opening], list[UnreadableStudy]]:
        """Return the result of `openings`, and the studies that cannot be read."""
        self.sweep_orphans()
        self.sweep_all()
        found, unreadable = self._read(progress.openings_and_unreadable, above=above)
        self._note([trial for opening in found for trial in opening.foreign])
        return found, unreadable

    def _note(self, trials: Sequence[ForeignTrial]) -> None:
        """Store new signs of life of other clients' trials, if this store may write."""
        if any(trial.note is not None for trial in trials):
            with contextlib.suppress(StorageReadOnlyError):
                self._write_lightly(foreign_trials.note, trials)

    def claim(self, study: StoredStudy, *, worker: str, count: int, lease_s: float) -> list[ClaimedTrial]:
        """Take up to `count` trials out of the budget for `worker`, and return them by number.

        Waiting trials come first, then new ones, then suspects. A suspect is claimed alone, by a worker that holds
        nothing, which must not claim again until it ended. Complete, pruned and running trials count against the
        budget, and a claim never exceeds the rest. It is empty if the budget is spent or the study is stopped;
        `progress` shows which. The leases expire `lease_s` seconds from now unless they are renewed.
        """

        def claim(connection: Connection) -> list[ClaimedTrial]:
            locked = studies.lock(connection, study)
            if locked.has_expired:
                found = leases.over(connection, self._watch, study.key)
                leases.sweep(connection, locked, found.get(study.key, {}))
            return claims.claim(connection, locked, worker=worker, count=count, lease_s=lease_s)

        return self._write_lightly(claim)

    def assign(self, study: StoredStudy, assignments: Sequence[Assignment]) -> frozenset[int]:
        """Store the parameters of claimed trials; the last call wins.

        Writes all trials whose token is still valid and returns the numbers of the others.
        """
        return self._write_lightly(trial_writes.assign, study, assignments)

    def record(self, study: StoredStudy, updates: Sequence[Update]) -> frozenset[int]:
        """Store reports and outcomes of claimed trials; values stored earlier are unchanged.

        Writes all trials whose token is still valid and returns the numbers of the others. A trial that the same claim
        has already ended is unchanged and not among them.
        """
        is_durable = any(update.outcome is not None for update in updates)
        write = self.write if is_durable else self._write_lightly
        return write(trial_writes.record, study, updates)

    def release(
        self, study: StoredStudy, *, worker: str, numbers: Sequence[int] | None, why: str, crashed: bool
    ) -> list[int]:
        """Hand back the worker's running trials, all of them if `numbers` is None; return their numbers.

        They wait under the same number with the same parameters, and the epochs that they began count as lost. With
        `crashed`, this counts against the trial: after three crashes it fails with `worker_lost`.
        """
        kind = leases.CRASHED if crashed else leases.HANDED_BACK
        ending = leases.Ending(why=why, kind=kind, crashed=crashed)
        return self.change(study, leases.release, worker=worker, numbers=numbers, ending=ending)

    def held(self, study: StoredStudy, *, worker: str) -> list[int]:
        """Return the numbers of the running trials that the worker holds leases on."""
        return self._read(leases.held, study.key, worker=worker)

    def register_worker(self, identity: WorkerIdentity) -> None:
        """Add a worker to the registry, replacing one of the same name."""
        self._write_lightly(workers.enter, identity)

    def unregister_worker(self, name: str) -> None:
        """Remove a worker that ends from the registry."""
        self._write_lightly(workers.leave, name)

    def beat(
        self, identity: WorkerIdentity, *, lease_s: float, tokens: Collection[int] | None = None
    ) -> Beat:
        """Record that the worker is alive and renew its leases; return whether it was asked to stop.

        With `tokens`, renew only the leases of those claims. Trials that the database assigns to the worker but the
        worker does not hold return to the budget when their leases expire.
        """

        def beat(connection: Connection) -> Beat:
            should_stop = workers.beat(connection, identity, lease_s=lease_s)
            leases_renewed = leases.renew(connection, worker=identity.name, lease_s=lease_s, tokens=tokens)
            return Beat(leases=leases_renewed, should_stop=should_stop)

        return self._write_lightly(beat)

    def workers(self) -> list[WorkerRecord]:
        """Return all registered workers, in order of their start.

        If this store may write, first sweep leases that are over.
        """
        if not self.has_ours:
            return []
        self.sweep_all()
        return self._read(workers.every)

    def ask_to_stop(self, name: str) -> None:
        """Ask a worker to drain at its next heartbeat. Raises WorkerNotFoundError with the nearest names."""
        self._write_lightly(workers.ask_to_stop, name)

    def sweep(self, study: StoredStudy, *, living: Collection[str] = ()) -> list[int]:
        """Set trials waiting again if their lease is over; return their numbers.

        An expired lease is over once this store has seen it unchanged for a while (see `schema`), which takes several
        calls. Leases of workers in `living` never are. A read-only store leaves sweeping to others.
        """
        if study.foreign is not None:
            return []
        found = self._read(leases.over, self._watch, study.key)
        return self._sweep(study, found[study.key], living) if found else []

    def sweep_all(self) -> None:
        """If this store may write, set trials of all studies waiting again if their lease is over."""
        if not self.has_ours:
            return
        found = self._read(leases.over, self._watch)
        for study in self._read(studies.every) if found else ():
            if study.key in found:
                with contextlib.suppress(StudyNotFoundError):  # deleted in the meantime
                    self._sweep(study, found[study.key], ())

    def _sweep(self, study: StoredStudy, ends: Mapping[int, float], living: Collection[str]) -> list[int]:
        with contextlib.suppress(StorageReadOnlyError):
            return self.change(study, leases.sweep, ends, but=living)
        return []

    def change(
        self,
        study: StoredStudy,
        work: Callable[Concatenate[Connection, LockedStudy, _P], _T],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _T:
        """Return the result of `work`, a function of this package, on the locked study in one durable transaction."""

        def locked(connection: Connection) -> _T:
            return work(connection, studies.lock(connection, study), *args, **kwargs)

        return self.write(locked)

    def write(
        self, work: Callable[Concatenate[Connection, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Return the result of `work`, a function of this package, in one durable transaction."""
        for one_try in tries(self._address):
            with one_try, writing(self._engine, durable=True) as connection:
                return work(connection, *args, **kwargs)
        raise AssertionError("unreachable: the last try returns or raises")

    def _write_lightly(
        self, work: Callable[Concatenate[Connection, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Return the result of `work` in one transaction that a power cut may undo."""
        for one_try in tries(self._address):
            with one_try, writing(self._engine, durable=False) as connection:
                return work(connection, *args, **kwargs)
        raise AssertionError("unreachable: the last try returns or raises")

    def _read(
        self, work: Callable[Concatenate[Connection, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        for one_try in tries(self._address):
            with one_try, reading(self._engine) as connection:
                return work(connection, *args, **kwargs)
        raise AssertionError("unreachable: the last try returns or raises")
