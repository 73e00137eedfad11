"""Studies that follow up others."""

from collections.abc import Sequence
from typing import Final

from hpsearch.cli.output import answer
from hpsearch.storage.records import StoredStudy
from hpsearch.storage.store import Store

GONE: Final = "(deleted)"


def parent_name(study: StoredStudy, studies: Sequence[StoredStudy]) -> str | None:
    """Return the name of the study that `study` follows up; `GONE` if it is gone, None if there is none."""
    if study.parent is None:
        return None
    return next((other.spec.name for other in studies if other.key == study.parent), GONE)


def existing(name: str | None) -> str | None:
    """Return the parent's name for programs: null where there is none, or it is gone."""
    return None if name == GONE else name


def parent_object(store: Store, study: StoredStudy) -> str | None:
    """Return the name of the study that `study` follows up, for programs."""
    return None if study.parent is None else existing(parent_name(study, store.studies()))


def write_parent(store: Store, study: StoredStudy) -> None:
    """Write which study this one follows up to stdout, below an empty line; nothing where there is none."""
    if study.parent is not None:
        answer()
        answer(f"Follows up: {parent_name(study, store.studies())}")
