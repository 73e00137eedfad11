"""Which studies to copy from one database into another, and what stands against it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

from sqlalchemy import Connection, Engine, func, select

from hpsearch.errors import StorageError, StudyExistsError, StudyNotFoundError
from hpsearch.storage import migration, optuna_schema, studies
from hpsearch.storage.address import Address
from hpsearch.storage.engine import reading
from hpsearch.storage.optuna_schema import RUNNING
from hpsearch.storage.records import Place
from hpsearch.study.messages import did_you_mean

_trials = optuna_schema.trials


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Which studies to copy: those named, else all of ours, and with `foreign` those of other Optuna clients too.

    With `running`, trials that run are copied as waiting ones; without, a study that has some is refused.
    """

    names: Sequence[str] = ()
    foreign: bool = False
    running: bool = False


def chosen(engine: Engine, address: Address, selection: Selection) -> dict[str, Place]:
    """Return name -> place of the studies to copy, oldest first."""
    with reading(engine) as connection:
        ours = {}
        if migration.revisions(connection).hpsearch is not None:
            ours = {row.study_id: row.study_key for row in studies.linked(connection)}
        rows = connection.execute(
            select(optuna_schema.studies).order_by(optuna_schema.studies.c.study_id)
        ).all()
        _refuse_doubles([row.study_name for row in rows], address)
        places = {row.study_name: Place(study_id=row.study_id, key=ours.get(row.study_id)) for row in rows}
        for name in selection.names:
            _require(name, places)
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
            f"{address.shown}: table studies, column study_name: must be there once (got {doubled[0]!r} twice): "
            "get the file again, or restore a backup"
        )


def _is_chosen(name: str, place: Place, selection: Selection) -> bool:
    if selection.names:
        return name in selection.names
    return place.key is not None or selection.foreign


def _require(name: str, places: Mapping[str, Place]) -> None:
    if name not in places:
        hint = did_you_mean(name, places, otherwise="`hpsearch study list` shows what there is")
        raise StudyNotFoundError(f'study "{name}": there is no such study: {hint}')


def refuse_running(connection: Connection, places: Mapping[str, Place], address: Address) -> None:
    """Raise StorageError, with all of them, for studies that have running trials."""
    running = {name: running_trials(connection, place) for name, place in places.items()}
    if any(running.values()):
        listed = ", ".join(f'{count} of "{name}"' for name, count in running.items() if count)
        raise StorageError(
            f"{address.shown}: no trial of a study that is copied may run (got {listed}): "
            "stop its workers, or copy such trials as waiting ones with --include-running"
        )


def running_trials(connection: Connection, place: Place) -> int:
    """Return how many trials of a study run, as far as its database knows."""
    rows = select(func.count()).where(_trials.c.study_id == place.study_id, _trials.c.state == RUNNING)
    return connection.execute(rows).scalar_one()


def refuse_taken(engine: Engine, places: Mapping[str, Place], address: Address) -> None:
    """Raise StudyExistsError for names, and for studies under other names, that the target has already."""
    with reading(engine) as connection:
        known = {row.study_key: row.study_name for row in studies.linked(connection)}
        taken = {
            name: known[place.key] if place.key in known else studies.holder(connection, name)
            for name, place in places.items()
        }
    listed = ", ".join(
        f'"{name}"' if name == other else f'"{name}" as "{other}"'
        for name, other in taken.items()
        if other is not None
    )
    if listed:
        raise StudyExistsError(
            f"{address.shown}: must not have what is copied (got {listed}): "
            "delete it there, or choose studies with --study"
        )
