"""A trial's data of Optuna's dashboard among the attributes of its study: its note, and old artifacts.

Their keys contain the trial's id: `dashboard:17:note_ver`, `dashboard:17:note_str:0`, `dashboard:artifacts:17:...`. Ids
are specific to a database, so in a copy they would refer to other trials.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, final

from sqlalchemy import Connection, select

from hpsearch.storage import optuna_schema
from hpsearch.storage.bulk import insert_rows

_attributes = optuna_schema.study_system_attributes
_trials = optuna_schema.trials

_KEY: Final = re.compile(r"(dashboard:(?:artifacts:)?)([0-9]{1,18})(:.*)", re.DOTALL)


@final
@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class DashboardNote:
    """One attribute that refers to a trial: the one at `place` among all of its study, by id and from 0.

    Its key is `head`, the trial's id, and `tail`.
    """

    place: int
    head: str
    tail: str
    value_json: str | None


def is_dashboard_note(key: str) -> bool:
    """Return True for the key of a study's attribute that refers to one trial by its id."""
    return _KEY.fullmatch(key) is not None


def read_dashboard_notes(connection: Connection, study_id: int) -> list[DashboardNote]:
    """Return all notes of a study, sorted. Omits those that refer to a trial that the study does not have."""
    rows = connection.execute(
        select(_attributes.c.key, _attributes.c.value_json).where(
            _attributes.c.study_id == study_id, _attributes.c.key.startswith("dashboard:")
        )
    )
    found = [(match, row.value_json) for row in rows if (match := _KEY.fullmatch(row.key))]
    places = _places(connection, study_id) if found else {}
    return sorted(
        DashboardNote(place=places[trial_id], head=match[1], tail=match[3], value_json=value)
        for match, value in found
        if (trial_id := int(match[2])) in places
    )


def write_dashboard_notes(
    connection: Connection, study_id: int, dashboard_notes: Iterable[DashboardNote], *, ids: Sequence[int]
) -> None:
    """Write notes of the trials with these ids, which are in order of their places."""
    rows = [
        {
            "study_id": study_id,
            "key": f"{one.head}{ids[one.place]}{one.tail}",
            "value_json": one.value_json,
        }
        for one in dashboard_notes
    ]
    insert_rows(connection, _attributes, rows)


def _places(connection: Connection, study_id: int) -> dict[int, int]:
    """Return trial_id -> place of all trials of a study."""
    ids = select(_trials.c.trial_id).where(_trials.c.study_id == study_id).order_by(_trials.c.trial_id)
    return {trial_id: place for place, trial_id in enumerate(connection.scalars(ids))}
