"""Studies: create each exactly once, for any number of concurrent calls; find, edit, rename, copy and delete them.

Functions run inside their caller's transaction.
"""

import json
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, NoReturn, TypeVar, final

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.exc import IntegrityError

import hpsearch
from hpsearch.errors import HpsearchError, StudyExistsError, StudyNotFoundError
from hpsearch.storage import foreign_trials, optuna_schema, orphans, progress, schema
from hpsearch.storage.clock import EpochSeconds, utc
from hpsearch.storage.data_files import copy_files
from hpsearch.storage.engine import Transactions
from hpsearch.storage.foreign_trials import store_all_marks
from hpsearch.storage.notifications import parent_urls, write_urls
from hpsearch.storage.optuna_schema import COMPLETE, PRUNED, RUNNING
from hpsearch.storage.queue import Queue, write_waiting
from hpsearch.storage.records import LimitStanding, Listed, Place, Progress, StoredStudy
from hpsearch.storage.stored_studies import (
    METRIC_NAMES,
    LockedStudy,
    change,
    current,
    foreign_named,
    foreign_names,
    holder,
    named,
    not_found,
    place_named,
    readable_studies,
    remove,
    remove_strays,
    row_named,
    row_of,
    study_of,
)
from hpsearch.storage.stored_values import is_whole
from hpsearch.storage.study_rows import (
    Row,
    StudyRows,
    finish_study,
    read_study,
    read_trials,
    without_lease,
    write_study,
    write_trials,
)
from hpsearch.study.json_form import checked_spec, spec_to_json
from hpsearch.study.plan import RANKS_WITH_FACTOR, SEARCH_RANKS, has_usual_warmup, with_rank
from hpsearch.study.schema import MOST_INTEGER
from hpsearch.study.spec import BudgetSpec, Dimension, NotifySpec, PruningSpec, Range, StudySpec
from hpsearch.trials import ParameterValue, TrialState

_T = TypeVar("_T")

_ours = schema.studies
_theirs = optuna_schema.studies
_trials = optuna_schema.trials
_params = optuna_schema.trial_params


@final
class Studies:
    """The studies of a database: create, find, edit, rename, copy and delete them. Threads may share it.

    Methods that take a study raise StudyNotFoundError if it was deleted. Methods that read also accept studies of other
    Optuna clients; those that write raise ForeignStudyError.
    """

    def __init__(self, transactions: Transactions, queue: Queue) -> None:
        self._transactions = transactions
        self._queue = queue

    def create(
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
        return self._transactions.write(_created, spec, fingerprint, parent=parent, enqueued=enqueued)

    def adopt(self, study: StoredStudy, spec: StudySpec) -> StoredStudy:
        """Make another Optuna client's study one of ours, with its trials, and return it. Its `spec` has an objective.

        Of two concurrent calls the first one counts. Raises StudyNotFoundError if the study was deleted.
        """
        for one_try, transaction in self._transactions.write_tries(durable=True):
            with one_try, transaction as connection:
                adopted = _adopt(connection, study, spec)
        return adopted

    def get(self, name: str) -> StoredStudy:
        """Return the study of that name.

        Raises StudyUnreadableError if this version cannot read it, and StudyNotFoundError with the nearest names, or
        with the hint that another Optuna client made the study.
        """
        self._check_tables(name)
        return self._after_sweep(_find, name)

    def get_any(self, name: str) -> StoredStudy:
        """Return the study of that name, made by any client.

        Raises StudyUnreadableError if this version cannot read it, and StudyNotFoundError with the nearest names.
        """

        def find(connection: Connection, name: str) -> StoredStudy:
            found = named(connection, name) if self._transactions.has_ours else None
            if found is None and (found := foreign_named(connection, name)) is None:
                raise not_found(connection, name)
            return found

        if not self._transactions.has_theirs:
            self._check_tables(name)
        study = self._after_sweep(find, name)
        is_copy = study.foreign is not None and self.sweep_orphans()
        return self._transactions.read(find, name) if is_copy else study

    def current(self, study: StoredStudy) -> StoredStudy:
        """Return the study's current state, also under another name or, after another client's rename, another id.

        Raises StudyNotFoundError if it was deleted.
        """
        self.sweep_orphans()
        return self._transactions.read(current, study)

    def all(self) -> list[StoredStudy]:
        """Return all studies that hpsearch made and that can be read, oldest first."""
        if not self._transactions.has_ours:
            return []
        self.sweep_orphans()
        return self._transactions.read(readable_studies)

    def foreign_names(self) -> list[str]:
        """Return the names of the studies that other Optuna clients made."""
        if self._transactions.has_ours:
            return self._transactions.read(foreign_names)
        return [listed.name for listed in self.listing()]

    def listing(self) -> list[Listed]:
        """Return all studies, made by any client, oldest first, with their progress.

        If the database may be written, first sweep leases that are over and follow studies that other Optuna clients
        renamed.
        """
        if not self._transactions.has_theirs:
            return []
        self.sweep_orphans()
        self._queue.sweep_all()
        found = self._transactions.read(progress.listing, has_ours=self._transactions.has_ours)
        trials = [trial for one in found if one.progress is not None for trial in one.progress.foreign]
        store_all_marks(self._transactions, trials)
        return found

    def progress(self, study: StoredStudy, *, living: Collection[str] = ()) -> Progress:
        """Return the study's progress, after sweeping leases that are over if the database may be written.

        Leases of workers in `living`, which the caller can see alive, are kept.
        """
        self._queue.sweep(study, living=living)
        found = self._transactions.read(progress.progress, study)
        store_all_marks(self._transactions, found.foreign)
        return found

    def count_trials(self, name: str) -> dict[TrialState, int]:
        """Return the number of trials in each state of the named study, made by any client, readable or not."""
        if not self._transactions.has_theirs:
            self._check_tables(name)
        return self._transactions.read(progress.count_trials, name)

    def set_budget(self, study: StoredStudy, trials: int) -> StoredStudy:
        """Set the budget and return the updated study. Workers apply it from their next claim on.

        A budget below the number of finished and running trials stops none of them. Raises ValueError unless it is a
        whole number from 1 on: a study with another budget could not be read.
        """
        _check_whole("trials", trials, least=1)
        return change(self._transactions, study, _set_budget, trials)

    def set_limits(self, study: StoredStudy, limits: BudgetSpec) -> StoredStudy:
        """Set the limits of `[budget]` and return the updated study. Workers apply them as they apply a budget."""
        return change(self._transactions, study, _set_limits, limits)

    def limits(self, study: StoredStudy) -> tuple[LimitStanding, ...]:
        """Return how the study stands against its present limits; none if it has none."""
        return self._transactions.read(progress.limits, study)

    def set_priority(self, study: StoredStudy, priority: int) -> StoredStudy:
        """Set the priority and return the updated study. Workers without a study of their own read it next.

        Raises ValueError unless it is a whole number.
        """
        _check_whole("priority", priority, least=-MOST_INTEGER)
        return change(self._transactions, study, _set_priority, priority)

    def set_ranges(self, study: StoredStudy, ranges: Mapping[str, Range]) -> StoredStudy:
        """Replace searched ranges of these names, and return the updated study with the record of the edit.

        Trials that have parameters keep them. Workers sample from the new ranges from their next claim on.
        """
        return change(self._transactions, study, _set_ranges, ranges)

    def search(self, study: StoredStudy) -> tuple[Dimension, ...] | None:
        """Return the present search space if its ranges were ever edited, else None."""
        return self._transactions.read(_edited_search, study)

    def pause(self, study: StoredStudy, *, by: str) -> str:
        """Pause the study: claims return no trials until it is resumed. Return who paused it and when.

        Trials in training run to their end. A study that is already paused is unchanged.
        """
        return change(self._transactions, study, _pause, by)

    def resume(self, study: StoredStudy) -> bool:
        """Resume the study: claims return trials again. Return whether it was paused."""
        return change(self._transactions, study, _resume)

    def stop(self, study: StoredStudy) -> StoredStudy:
        """End the study with its finished and running trials, and return it with their number as its budget.

        A spent budget is unchanged. Raises HpsearchError if no trial has finished or is running.
        """
        self._queue.sweep(study)
        return change(self._transactions, study, _stop)

    def rename(self, old: str, name: str) -> None:
        """Rename the study `old`, made by any client, readable or not. Its key and all dependent data are unchanged.

        Raises StudyExistsError for a taken name, and HpsearchError while our workers, which use the old name, train
        trials.
        """
        self._queue.sweep_all()
        self._write_to(old, lambda connection, place: self._rename(connection, place, old, name))

    def copy(self, old: str, name: str) -> int:
        """Copy the study `old`, made by any client, readable or not, to another name; return its number of trials.

        The copy has its own key if the study is ours, and its trials have the numbers and results of the original's;
        running trials wait in the copy. An opened test part is open in the copy too. Raises StudyExistsError for a
        taken name.
        """
        return self._write_to(old, lambda connection, place: self._copy(connection, place, name))

    def delete(self, name: str) -> None:
        """Delete the study of that name, made by any client, readable or not. Workers that train it lose their leases.

        Raises StudyNotFoundError.
        """

        def work(connection: Connection, place: Place) -> None:
            remove(connection, place)
            if self._transactions.has_ours:
                orphans.sweep(connection)

        self._write_to(name, work)

    def sweep_orphans(self) -> bool:
        """If the database may be written, follow studies that other clients renamed and forget those they deleted.

        Return whether there was anything to sweep.
        """
        return orphans.sweep_orphans(self._transactions)

    def _after_sweep(self, find: Callable[[Connection, str], StoredStudy], name: str) -> StoredStudy:
        """Return the result of `find`, if necessary after following studies that other Optuna clients renamed."""
        try:
            return self._transactions.read(find, name)
        except StudyNotFoundError:
            if not self.sweep_orphans():
                raise
            return self._transactions.read(find, name)

    def _check_tables(self, name: str) -> None:
        """Raise StudyNotFoundError if no tables exist that could hold a study of ours with that name."""
        if not self._transactions.has_theirs:
            shown = self._transactions.address.shown
            raise StudyNotFoundError(
                f'study "{name}": there is no such study: {shown} holds none, check the URL'
            )
        if not self._transactions.has_ours:
            raise self._transactions.read(not_found, name)

    def _write_to(self, name: str, work: Callable[[Connection, Place], _T]) -> _T:
        """Return the result of `work` on the named study, made by any client, in one durable transaction.

        Raises StudyNotFoundError with the nearest names.
        """
        if not self._transactions.has_theirs:
            self._check_tables(name)
        self.sweep_orphans()
        for one_try, transaction in self._transactions.write_tries(durable=True):
            with one_try, transaction as connection:
                place = place_named(connection, name, has_ours=self._transactions.has_ours)
                result = work(connection, place)
        return result

    def _rename(self, connection: Connection, place: Place, old: str, name: str) -> None:
        taken_by = holder(connection, name)
        if taken_by is not None and taken_by != old:
            self._refuse_taken(connection, name, taken_by)
        if running := _count_held(connection, place):
            raise HpsearchError(
                f'study "{old}": must have no trial in training to be renamed (got {running}): '
                "stop its workers first, or let them end"
            )
        at = _theirs.c.study_id == place.study_id
        connection.execute(update(_theirs).where(at).values(study_name=name))
        if place.key is not None:
            connection.execute(update(_ours).where(_ours.c.study_key == place.key).values(name=name))

    def _copy(self, connection: Connection, origin: Place, name: str) -> int:
        taken_by = holder(connection, name)
        if taken_by is not None:
            self._refuse_taken(connection, name, taken_by)
        now_s: float = connection.execute(select(EpochSeconds())).scalar_one()
        rows = read_study(connection, origin)
        place = write_study(connection, _renamed(rows, name, key=str(uuid.uuid4()), now_s=now_s))
        if origin.key is not None and place.key is not None:
            copy_files(connection, origin.key, place.key)
        ids: list[int] = []
        last: int | None = None
        while trials := read_trials(connection, origin, after=last):
            last = max(trials)
            resting = [without_lease(one, now_s=now_s) for one in trials.values()]
            ids += write_trials(connection, place, resting, after=max(ids, default=-1))
        finish_study(connection, place, rows, ids=ids)
        return len(ids)

    def _refuse_taken(self, connection: Connection, name: str, taken_by: str) -> None:
        """Raise StudyExistsError because `taken_by` has the name."""
        is_ours = self._transactions.has_ours and row_named(connection, taken_by) is not None
        if is_ours and taken_by == name:
            raise StudyExistsError(
                f'study "{name}": the name must be free (a study has it): choose another name'
            )
        _refuse_name(name, taken_by)


def _find(connection: Connection, name: str) -> StoredStudy:
    if (study := named(connection, name)) is not None:
        return study
    raise not_found(connection, name)


def _created(
    connection: Connection,
    spec: StudySpec,
    fingerprint: str,
    *,
    parent: StoredStudy | None,
    enqueued: Sequence[Mapping[str, ParameterValue]],
) -> StoredStudy:
    """Return the study, created unless it already exists; a new one starts with `enqueued`."""
    if (stored := _same(connection, spec, fingerprint)) is not None:
        if spec.notify.urls:
            write_urls(connection, stored.key, spec.notify.urls)
        return stored
    try:
        with connection.begin_nested():
            made = _create(connection, spec, fingerprint, parent=None if parent is None else parent.key)
            write_waiting(connection, made.study_id, enqueued)
            write_urls(connection, made.key, spec.notify.urls or parent_urls(connection, made.parent))
            return made
    except IntegrityError:
        # Another process created it between our read and our insert.
        stored = _same(connection, spec, fingerprint)
        if stored is None:
            raise
        return stored


def _same(connection: Connection, spec: StudySpec, fingerprint: str) -> StoredStudy | None:
    # In this order: a study created in the meantime is then seen by both reads or by the second.
    taken_by = holder(connection, spec.name)
    stored = named(connection, spec.name)
    if stored is not None:
        _check_same(stored, spec, fingerprint)
    elif taken_by is not None:
        _refuse_name(spec.name, taken_by)
    return stored


def _create(
    connection: Connection, spec: StudySpec, fingerprint: str, *, parent: str | None = None
) -> StoredStudy:
    """Write a new study. Raises IntegrityError if the name is taken, also by a concurrent creation."""
    connection.execute(insert(_theirs).values(study_name=spec.name))
    same_name = select(_theirs.c.study_id).where(_theirs.c.study_name == spec.name)
    study_id = connection.execute(same_name).scalar_one()
    remove_strays(connection, study_id)
    study = _own(connection, study_id, spec, fingerprint, parent=parent)
    _describe_to_optuna(connection, study)
    return study


def _adopt(connection: Connection, study: StoredStudy, spec: StudySpec) -> StoredStudy:
    """Write our row of another client's study, unless it has one."""
    mine = _theirs.c.study_id == study.study_id, _theirs.c.study_name == spec.name
    if connection.execute(select(_theirs.c.study_id).where(*mine).with_for_update()).first() is None:
        raise not_found(connection, spec.name)
    if (known := named(connection, spec.name)) is not None:
        return known
    made = _own(connection, study.study_id, spec, fingerprint="", parent=None)
    _link(connection, made)
    return made


def _own(
    connection: Connection, study_id: int, spec: StudySpec, fingerprint: str, *, parent: str | None
) -> StoredStudy:
    """Write our row of a study. Its pruner is resolved here, so a later change of the budget does not change it."""
    key = str(uuid.uuid4())
    spec = with_rank(spec)
    created_s = connection.execute(select(EpochSeconds())).scalar_one()
    connection.execute(
        insert(_ours).values(
            study_key=key,
            study_id=study_id,
            name=spec.name,
            spec=spec_to_json(spec),
            fingerprint=fingerprint,
            budget=spec.trials,
            created=created_s,
            hpsearch_version=hpsearch.__version__,
            parent=parent,
        )
    )
    return StoredStudy(
        key=key,
        study_id=study_id,
        spec=replace(spec, notify=NotifySpec()),
        fingerprint=fingerprint,
        created=utc(created_s),
        version=hpsearch.__version__,
        parent=parent,
    )


def _describe_to_optuna(connection: Connection, study: StoredStudy) -> None:
    """Write the values that other Optuna clients read: the direction, the metric's name, and the study's owner."""
    direction = "MAXIMIZE" if study.maximize else "MINIMIZE"
    connection.execute(
        insert(optuna_schema.study_directions).values(
            study_id=study.study_id, objective=0, direction=direction
        )
    )
    connection.execute(
        insert(optuna_schema.study_system_attributes).values(
            study_id=study.study_id, key=METRIC_NAMES, value_json=json.dumps([study.spec.metric])
        )
    )
    _link(connection, study)


def _link(connection: Connection, study: StoredStudy) -> None:
    """Write the attributes of Optuna's study that lead to our row."""
    attributes = {
        schema.LINK_ATTRIBUTE: study.key,
        "hpsearch:fingerprint": study.fingerprint,
        "hpsearch:version": hpsearch.__version__,
    }
    connection.execute(
        insert(optuna_schema.study_user_attributes),
        [
            {"study_id": study.study_id, "key": key, "value_json": json.dumps(value)}
            for key, value in attributes.items()
        ],
    )


def _check_same(stored: StoredStudy, spec: StudySpec, fingerprint: str) -> None:
    """Raise StudyExistsError, naming the differences, unless `spec` and the data equal those of `stored`.

    How a table is read does not count if the result is equal: older studies hold other words for it. Ranges may also be
    those from before an edit. If `spec` leaves the pruner to "auto", the stored one counts as equal.
    """
    if spec.search in _earlier_searches(stored):
        spec = replace(spec, search=stored.spec.search)
    spec = replace(spec, pruning=_comparable(spec, stored.spec.pruning))
    reading = ("data.header", "data.drop", "data.types", "data.columns", "data.target_scale")
    same_data = reading if stored.fingerprint == fingerprint else ()
    common = _parts(stored.spec) & _parts(spec)
    there, here = _described(stored.spec, common), _described(spec, common)
    differences = [
        f"{key} is {_text(there, key)} there (got {_text(here, key)})"
        for key in dict.fromkeys([*there, *here])
        if key not in ("trials", *same_data)
        and not key.startswith("budget.")
        and (key not in there or key not in here or there[key] != here[key])
    ]
    if stored.fingerprint != fingerprint:
        differences.append(f"the data's fingerprint is {stored.fingerprint} there (got {fingerprint})")
    if differences:
        raise StudyExistsError(
            f'study "{spec.name}": exists with another specification: {"; ".join(differences)}: '
            "make them equal, choose another name, or delete that study"
        )


def _comparable(spec: StudySpec, stored: PruningSpec) -> PruningSpec:
    """Return the pruning of `spec` as it is compared with `stored`.

    "auto" equals what it was resolved to, with any budget, and a reduction factor without effect equals any.
    """
    pruning = with_rank(spec).pruning
    if spec.pruning.rank == "auto" and {pruning.rank, stored.rank} <= set(SEARCH_RANKS):
        pruning = replace(pruning, rank=stored.rank)
        if has_usual_warmup(spec.pruning):
            pruning = replace(pruning, warmup_epochs=stored.warmup_epochs)
    if pruning.rank not in RANKS_WITH_FACTOR:
        pruning = replace(pruning, reduction_factor=stored.reduction_factor)
    return pruning


def _earlier_searches(stored: StoredStudy) -> Iterator[tuple[Dimension, ...]]:
    """Yield the search before each edit of its ranges, the newest first."""
    search = stored.spec.search
    for edit in reversed(stored.edits):
        search = tuple(edit.before if each.name == edit.before.name else each for each in search)
        yield search


def _parts(spec: StudySpec) -> set[str]:
    """Return the names of a study's configurations, or of its searched parameters if it has none."""
    return {part.name for part in spec.configurations or spec.search}


def _described(spec: StudySpec, common: Collection[str]) -> dict[str, Any]:
    """Return a specification by dotted keys: the searched or trained parts, and the values of the `common` ones.

    Omits the search space of configurations, which follows from them.
    """
    # Names of configurations are arbitrary, so they must not be mistaken for keys of the same spelling.
    exact = {
        f"configurations.{json.dumps(each.name, ensure_ascii=False)}": dict(each.params)
        for each in spec.configurations
        if each.name in common
    }
    search = () if spec.configurations else tuple(d for d in spec.search if d.name in common)
    return {
        **_flat(asdict(replace(spec, search=search, configurations=(), notify=NotifySpec()))),
        **exact,
        "search": [] if spec.configurations else [dimension.name for dimension in spec.search],
        "configurations": [each.name for each in spec.configurations],
    }


def _flat(raw: Any, prefix: str = "") -> dict[str, Any]:
    """Return nested tables as one table with dotted keys. A searched parameter is keyed by its name."""
    if isinstance(raw, tuple) and raw and all(isinstance(item, dict) for item in raw):
        raw = {item["name"]: {k: v for k, v in item.items() if k != "name"} for item in raw}
    if not isinstance(raw, dict):
        return {prefix: raw}
    flat: dict[str, Any] = {}
    for key, value in raw.items():
        flat |= _flat(value, f"{prefix}.{key}" if prefix else key)
    return flat


def _text(values: Mapping[str, Any], key: str) -> str:
    return json.dumps(values[key]) if key in values else "nothing"


def _refuse_name(name: str, taken_by: str) -> NoReturn:
    """Raise StudyExistsError because the name belongs to a study that is not ours or is spelled differently."""
    why = (
        "another Optuna client made a study of that name"
        if taken_by == name
        else f'this database takes it for "{taken_by}"'
    )
    raise StudyExistsError(f'study "{name}": the name must be free ({why}): choose another name')


def _check_whole(name: str, number: int, *, least: int) -> None:
    """Raise ValueError unless `number` is an `int` that every database stores: SQLite would store anything."""
    if not is_whole(number, low=least, high=MOST_INTEGER):
        raise ValueError(f"{name}: must be a whole number from {least} to {MOST_INTEGER} (got {number!r})")


def _set_budget(connection: Connection, locked: LockedStudy, trials: int) -> StoredStudy:
    connection.execute(update(_ours).where(_ours.c.study_key == locked.study.key).values(budget=trials))
    return replace(locked.study, spec=replace(locked.study.spec, trials=trials))


def _set_limits(connection: Connection, locked: LockedStudy, limits: BudgetSpec) -> StoredStudy:
    row = row_of(connection, locked.study)
    study = study_of(row)
    spec = replace(study.spec, budget=limits)
    at = _ours.c.study_key == study.key
    connection.execute(update(_ours).where(at).values(spec=spec_to_json(spec)))
    return replace(study, spec=spec)


def _set_priority(connection: Connection, locked: LockedStudy, priority: int) -> StoredStudy:
    connection.execute(update(_ours).where(_ours.c.study_key == locked.study.key).values(priority=priority))
    return replace(locked.study, priority=priority)


def _edited_search(connection: Connection, study: StoredStudy) -> tuple[Dimension, ...] | None:
    edited = select(_ours.c.spec).where(_ours.c.study_key == study.key, _ours.c.edits.is_not(None))
    text = connection.execute(edited).scalar_one_or_none()
    return None if text is None else checked_spec(text).search


def _set_ranges(connection: Connection, locked: LockedStudy, ranges: Mapping[str, Range]) -> StoredStudy:
    row = row_of(connection, locked.study)
    before = study_of(row)
    search = tuple(ranges.get(each.name, each) for each in before.spec.search)
    named = {each.name: each for each in before.spec.search}
    has_params = _trials.c.trial_id.in_(select(_params.c.trial_id))
    last = select(func.max(_trials.c.number)).where(_trials.c.study_id == before.study_id, has_params)
    trials = connection.execute(last).scalar_one()
    edits = [] if row.edits is None else json.loads(row.edits)
    edits += [
        {
            "before": asdict(named[name]),
            "after": asdict(after),
            "trials": 0 if trials is None else trials + 1,
            "made": locked.now_s,
        }
        for name, after in ranges.items()
    ]
    connection.execute(
        update(_ours)
        .where(_ours.c.study_key == before.key)
        .values(spec=spec_to_json(replace(before.spec, search=search)), edits=json.dumps(edits))
    )
    return study_of(row_of(connection, before))


def _pause(connection: Connection, locked: LockedStudy, by: str) -> str:
    if locked.stopped is not None:
        return locked.stopped
    why = f"paused by {by} at {utc(locked.now_s):%Y-%m-%d %H:%M} UTC"
    connection.execute(update(_ours).where(_ours.c.study_key == locked.study.key).values(stopped=why))
    return why


def _resume(connection: Connection, locked: LockedStudy) -> bool:
    connection.execute(update(_ours).where(_ours.c.study_key == locked.study.key).values(stopped=None))
    return locked.stopped is not None


def _stop(connection: Connection, locked: LockedStudy) -> StoredStudy:
    study = locked.study
    made = _count(connection, study.study_id, COMPLETE, PRUNED, RUNNING)
    made -= foreign_trials.count_silent(connection, locked)
    if not made:
        raise HpsearchError(
            f'study "{study.spec.name}": must have a trial that has finished or runs to be ended (got none): '
            "pause it, or delete it"
        )
    return _set_budget(connection, locked, min(made, locked.budget))


def _count_held(connection: Connection, place: Place) -> int:
    """Return the number of trials that workers of ours train."""
    if place.key is None:
        return 0
    now_s: float = connection.execute(select(EpochSeconds())).scalar_one()
    others = foreign_trials.running_trials(connection, place.key, now_s)
    return _count(connection, place.study_id, RUNNING) - len(others)


def _count(connection: Connection, study_id: int, *states: str) -> int:
    counted = select(func.count()).where(_trials.c.study_id == study_id, _trials.c.state.in_(states))
    return int(connection.execute(counted).scalar_one())


def _renamed(rows: StudyRows, name: str, *, key: str, now_s: float) -> StudyRows:
    """Return a study's rows under another name and, if the study is ours, under a new key."""
    if rows.ours is None:
        return replace(rows, name=name)
    links = optuna_schema.study_user_attributes.name
    details: Mapping[str, Any] = {**rows.details, links: [_linked(row, key) for row in rows.details[links]]}
    ours = {**rows.ours, "study_key": key, "name": name, "created": now_s}
    return replace(rows, name=name, details=details, ours=ours)


def _linked(row: Row, key: str) -> Row:
    return {**row, "value_json": json.dumps(key)} if row["key"] == schema.LINK_ATTRIBUTE else row
