"""Copy studies from one database into another, completely or not at all: selection, and reasons for refusal."""

import json
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, Literal, TypeAlias, final

from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.engine import URL
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from hpsearch.errors import StorageError, StudyExistsError, StudyNotFoundError, UsageError
from hpsearch.search.cmaes_state import with_plain_pickles, without_pickles
from hpsearch.storage import migration, optuna_schema, orphans, stored_studies
from hpsearch.storage.address import Address, parse_address, prepare_file
from hpsearch.storage.clock import EpochSeconds
from hpsearch.storage.data_files import copy_files_between
from hpsearch.storage.driver_errors import attempt, translated
from hpsearch.storage.engine import make_engine, read_transaction, write_transaction
from hpsearch.storage.integrity import broken_studies, reader, study_faults
from hpsearch.storage.optuna_schema import RUNNING
from hpsearch.storage.records import Place
from hpsearch.storage.sqlite_file import REMEDY, check_file, check_stamps, unlinked_problems
from hpsearch.storage.study_rows import (
    BATCH,
    StudyRows,
    TrialRows,
    finish_study,
    in_whole_seconds,
    read_study,
    read_trials,
    without_lease,
    write_study,
    write_trials,
)
from hpsearch.study.messages import did_you_mean

_trials = optuna_schema.trials


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """The studies to copy: those named, else all of ours, and with `foreign` those of other Optuna clients too.

    With `running`, running trials are copied as waiting ones; without it, a study that has some is refused.
    """

    names: Sequence[str] = ()
    foreign: bool = False
    running: bool = False


def chosen(engine: Engine, address: Address, selection: Selection) -> dict[str, Place]:
    """Return name -> place of the studies to copy, oldest first."""
    with read_transaction(engine) as connection:
        ours = {}
        if migration.revisions(connection).hpsearch is not None:
            ours = {row.study_id: row.study_key for row in stored_studies.linked(connection)}
        rows = connection.execute(
            select(optuna_schema.studies).order_by(optuna_schema.studies.c.study_id)
        ).all()
        _refuse_doubles([row.study_name for row in rows], address)
        places = {row.study_name: Place(study_id=row.study_id, key=ours.get(row.study_id)) for row in rows}
        for name in selection.names:
            _require(name, places, address)
        wanted = {name: place for name, place in places.items() if _is_chosen(name, place, selection)}
        if not wanted:
            remedy = "copy those with --all" if places else "check the URL"
            raise StudyNotFoundError(
                f"{address.shown}: must hold studies of hpsearch (got {len(places)} of other Optuna clients): {remedy}"
            )
        if not selection.running:
            refuse_running(connection, wanted, address)
        return wanted


def _refuse_doubles(names: Sequence[str], address: Address) -> None:
    doubled = [name for name, count in Counter(names).items() if count > 1]
    if doubled:
        raise StorageError(
            f"{address.shown}: table studies, column study_name: must be unique (got {doubled[0]!r} twice): "
            "get the file again, or restore a backup"
        )


def _is_chosen(name: str, place: Place, selection: Selection) -> bool:
    if selection.names:
        return name in selection.names
    return place.key is not None or selection.foreign


_MOST_NAMED: Final = 10
"""Maximum number of studies that an error lists."""


def _require(name: str, places: Mapping[str, Place], address: Address) -> None:
    if name not in places:
        listed = ", ".join(list(places)[:_MOST_NAMED]) + (", ..." if len(places) > _MOST_NAMED else "")
        hint = did_you_mean(name, places, otherwise=f"choose one of {listed}" if places else "check the URL")
        raise StudyNotFoundError(f'study "{name}": there is no such study in {address.shown}: {hint}')


def refuse_running(connection: Connection, places: Mapping[str, Place], address: Address) -> None:
    """Raise StorageError, naming all of them, if studies have running trials."""
    running = {name: count_running(connection, place) for name, place in places.items()}
    if any(running.values()):
        listed = ", ".join(f'{count} of "{name}"' for name, count in running.items() if count)
        raise StorageError(
            f"{address.shown}: no trial of a study that is copied may run (got {listed}): "
            "stop its workers, or copy such trials as waiting ones with --include-running"
        )


def count_running(connection: Connection, place: Place) -> int:
    """Return the number of trials of a study that are running according to its database."""
    rows = select(func.count()).where(_trials.c.study_id == place.study_id, _trials.c.state == RUNNING)
    return connection.execute(rows).scalar_one()


def refuse_taken(engine: Engine, places: Mapping[str, Place], address: Address) -> None:
    """Raise StudyExistsError if the target already has a study of the same name, or the study under another name."""
    with read_transaction(engine) as connection:
        known = {row.study_key: row.study_name for row in stored_studies.linked(connection)}
        taken = {
            name: known[place.key] if place.key in known else stored_studies.holder(connection, name)
            for name, place in places.items()
        }
    listed = ", ".join(
        f'"{name}"' if name == other else f'"{name}" as "{other}"'
        for name, other in taken.items()
        if other is not None
    )
    if listed:
        raise StudyExistsError(
            f"{address.shown}: must not have the studies yet (got {listed}): "
            "delete them there, or choose others with --study"
        )


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class CopiedStudy:
    """A study that was copied to the target: its trials, and how many that run in the source wait there.

    `in_whole_seconds` is true if the target keeps no finer times of its trials. `faults` are the reasons why imports
    will refuse an exported study.
    """

    name: str
    trials: int
    returned: int
    in_whole_seconds: bool
    faults: tuple[str, ...] = ()


Kind: TypeAlias = Literal["copy", "export", "import"]
"""The purpose of a copy. An export copies every stored value, and an import checks every value."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Transfer:
    """A copy of studies from the database at the URL `source` into `target`, each completely or not at all.

    Ids are new. Numbers, keys, parameters, values, reports, attributes, series, attempts, counts and times are kept;
    this is verified by reading both databases before a study's transaction ends. Tables that the target lacks are
    created. The source is read as of one moment per study and is not changed; workers there continue. Before the target
    is opened, every row is checked against `stored_values` and `integrity`. A study that violates them is exported with
    its `faults`, makes an import fail as a whole, and is omitted from a copy, which includes the others.
    """

    source: str
    target: str
    selection: Selection
    kind: Kind = "copy"

    def run(self, *, notify: Callable[[CopiedStudy], None]) -> list[CopiedStudy]:
        """Copy the studies, one transaction each. `notify` gets each one once it is copied.

        A study whose transaction fails with an error that may pass, in either database, is copied again. Raises
        UsageError if both databases are the same, StudyNotFoundError, StudyExistsError if the target already has a
        study, and StorageError for running trials, for databases that cannot be used, for a copy that differs, and for
        studies that violate a rule: at the end, after the others are copied.
        """
        here, there = parse_address(self.source), parse_address(self.target)
        if _identity(here) == _identity(there):
            command = "study import" if self.kind == "import" else "storage copy"
            raise UsageError(f"{command}: source and target must be two databases (got {here.shown} twice)")
        with _source(here, self.kind) as reads:
            places = attempt(lambda: chosen(reads, here, self.selection), here)
            broken = attempt(lambda: _broken(reads, places), here)
            if self.kind == "import" and broken:
                raise broken_studies(here, broken, remedy=f"nothing was imported: {REMEDY}")
            refused = {} if self.kind == "export" else broken
            good = {name: place for name, place in places.items() if name not in refused}
            if not good:
                raise _omission_error(here, refused)
            with _target(there) as writes:
                attempt(lambda: refuse_taken(writes, good, there), there)
                done = []
                for name, place in good.items():
                    origin = _Origin(engine=reads, address=here, place=place, running=self.selection.running)
                    copied = attempt(partial(_copy_again, origin, writes, there), here)
                    done.append(replace(copied, faults=tuple(broken.get(name, ()))))
                    notify(done[-1])
                if refused:
                    raise _omission_error(here, refused)
                return done


def _broken(engine: Engine, places: Mapping[str, Place]) -> dict[str, list[str]]:
    """Return name -> problems, for studies that violate an invariant."""
    with read_transaction(engine) as connection:
        found = {name: study_faults(connection, place) for name, place in places.items()}
    return {name: faults for name, faults in found.items() if faults}


def _omission_error(address: Address, broken: Mapping[str, Sequence[str]]) -> StorageError:
    """Return the error for studies that a copy omitted."""
    names = "".join(
        f"\n  hpsearch study delete --storage {shlex.quote(address.shown)} -- {shlex.quote(n)}"
        for n in broken
    )
    remedy = f"not copied: restore a backup, choose other studies with --study NAME, or delete these:{names}"
    return broken_studies(address, broken, remedy=remedy)


def _identity(address: Address) -> URL | Path:
    return address.url if address.path is None else address.path.resolve()


@contextmanager
def _source(address: Address, kind: Kind) -> Iterator[Engine]:
    """Yield an engine on a database with studies of this version of Optuna, and possibly of hpsearch."""
    prepare_file(address, create=False, is_source=True)
    with reader(address) as engine:
        if address.path is not None:
            attempt(lambda: check_stamps(engine, shown=address.shown), address)
        found = attempt(lambda: migration.revisions_of(engine), address)
        if found.optuna is None:
            raise StorageError(f"{address.shown}: holds no studies: check the URL")
        migration.check_revisions(found, shown=address.shown)
        if address.path is not None:
            attempt(lambda: check_file(engine, shown=address.shown), address)
        if address.path is not None and kind == "import":
            attempt(lambda: _refuse_unlinked(engine, address), address)
        yield engine


def _refuse_unlinked(engine: Engine, address: Address) -> None:
    with read_transaction(engine) as connection:
        problems = unlinked_problems(connection, with_leftovers=True)
    if problems:
        listed = "\n".join(f"  {problem}" for problem in problems)
        raise StorageError(f"{address.shown}: every row must belong to a study:\n{listed}")


@contextmanager
def _target(address: Address) -> Iterator[Engine]:
    """Yield an engine on a database with all tables, and without leftovers of deleted studies."""

    def sweep() -> None:
        with write_transaction(engine, durable=True) as connection:
            orphans.sweep(connection)

    prepare_file(address, create=True)
    engine = make_engine(address, works_long=True)
    try:
        attempt(lambda: migration.create_missing(engine, address, create=True), address)
        attempt(sweep, address)
        yield engine
    finally:
        engine.dispose()


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class _Origin:
    """A study in the source. Errors of its driver are raised as _SourceError, to distinguish them from the target's."""

    engine: Engine
    address: Address
    place: Place
    running: bool

    @contextmanager
    def opened(self, *, whole_seconds: bool) -> Iterator["_TargetStudy"]:
        """Yield the study as of one moment. Raises StorageError if a trial is running and may not be."""
        with ExitStack() as stack:
            with _attribute_errors(self.address):
                connection = stack.enter_context(read_transaction(self.engine))
                now_s: float = connection.execute(select(EpochSeconds())).scalar_one()
                study = read_study(connection, self.place)
                returned = count_running(connection, self.place)
                if not self.running:
                    refuse_running(connection, {study.name: self.place}, self.address)
            yield _TargetStudy(
                connection=connection,
                address=self.address,
                place=self.place,
                study=study,
                returned=returned,
                now_s=now_s,
                whole_seconds=whole_seconds,
            )


@final
class _SourceError(Exception):
    """An error of the source's driver while a study is copied."""

    def __init__(self, cause: DBAPIError | PoolTimeoutError) -> None:
        super().__init__()
        self.cause = cause


@contextmanager
def _attribute_errors(address: Address) -> Iterator[None]:
    """Turn an error of a row into the StorageError of the database at `address`, one of a driver into _SourceError."""
    try:
        yield
    except StorageError as error:
        raise StorageError(f"{address.shown}: {str(error).removeprefix(f'{address.shown}: ')}") from error
    except (DBAPIError, PoolTimeoutError) as error:
        raise _SourceError(error) from error


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class _TargetStudy:
    """A study of the source as it will be in the target."""

    connection: Connection
    address: Address
    place: Place
    study: StudyRows
    returned: int
    now_s: float
    whole_seconds: bool

    def batches(self) -> Iterator[list[TrialRows]]:
        """Yield all trials in order of their ids."""
        last: int | None = None
        while True:
            with _attribute_errors(self.address):
                trials = read_trials(self.connection, self.place, after=last)
            if not trials:
                return
            last = max(trials)
            resting = [
                _without_pickles(without_lease(rows, now_s=self.now_s), is_ours=self.place.key is not None)
                for rows in trials.values()
            ]
            yield [in_whole_seconds(rows) for rows in resting] if self.whole_seconds else resting


def _without_pickles(rows: TrialRows, *, is_ours: bool) -> TrialRows:
    """Return the trial without pickles of more than numbers, which Optuna's CMA-ES would execute; ours store none."""
    table = optuna_schema.trial_system_attributes.name
    if not any("optimizer" in row["key"] for row in rows.details[table]):
        return rows
    stored = {row["key"]: row["value_json"] for row in rows.details[table]}
    attributes = {key: json.loads(text) for key, text in stored.items() if "cma" in key}
    kept = without_pickles(attributes) if is_ours else with_plain_pickles(attributes)
    new = {key: json.dumps(value) for key, value in kept.items() if key not in stored}
    texts = {key: text for key, text in stored.items() if key not in attributes or key in kept} | new
    listed = [{"key": key, "value_json": text} for key, text in texts.items()]
    return replace(rows, details={**rows.details, table: listed})


def _copy_again(origin: _Origin, engine: Engine, address: Address) -> CopiedStudy:
    """Copy one study, again while the target fails with errors that may pass. Errors of the source pass through."""
    try:
        return attempt(partial(_copy, origin, engine, address), address)
    except _SourceError as error:
        raise error.cause from None


def _copy(origin: _Origin, engine: Engine, address: Address) -> CopiedStudy:
    """Copy one study, compare, and commit."""
    seconds = engine.dialect.name in ("mysql", "mariadb")
    with write_transaction(engine, durable=True) as there, origin.opened(whole_seconds=seconds) as picture:
        name = picture.study.name
        try:
            trials = _write(there, picture)
        except IntegrityError as error:
            raise StudyExistsError(
                f'study "{name}": {address.shown} another process created a study of that name or key: '
                "choose studies with --study"
            ) from error
        except DataError as error:
            raise StorageError(f'study "{name}": {translated(error, address)}') from error
        return CopiedStudy(name=name, trials=trials, returned=picture.returned, in_whole_seconds=seconds)


def _write(there: Connection, picture: _TargetStudy) -> int:
    """Write the study, and read it back; return the number of its trials. Raises StorageError if it differs."""
    place = write_study(there, picture.study)
    ids: list[int] = []
    for batch in picture.batches():
        ids += write_trials(there, place, batch, after=max(ids[-BATCH:], default=-1))
    finish_study(there, place, picture.study, ids=ids)
    if picture.place.key is not None and place.key is not None:
        copy_files_between(picture.connection, picture.place.key, there, place.key)
    if read_study(there, place) != picture.study:
        raise _differs(picture, "it")
    last: int | None = None
    for batch in picture.batches():
        copies = read_trials(there, place, after=last)
        last = max(copies)
        for rows, copy in zip(batch, copies.values(), strict=True):
            if rows != copy:
                raise _differs(picture, f"trial {rows.trial['number']}")
    return len(ids)


def _differs(picture: _TargetStudy, what: str) -> StorageError:
    return StorageError(
        f'study "{picture.study.name}": {what} differs after reading it back, so nothing was copied: '
        "check whether the target's character set and column types can store it"
    )
