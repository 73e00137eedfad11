"""Studies that follow up others."""

from collections.abc import Sequence

from hpsearch.cli.output import answer
from hpsearch.storage.records import StoredStudy
from hpsearch.storage.store import Store


def parent_name(study: StoredStudy, studies: Sequence[StoredStudy]) -> str | None:
    """Return the name of the study that `study` follows up; "(deleted)" where it is gone, None where there is none."""
    if study.parent is None:
        return None
    return next((other.spec.name for other in studies if other.key == study.parent), "(deleted)")


def parent_object(store: Store, study: StoredStudy) -> str | None:
    """Return the parent's name for programs: null where there is none, or it is gone."""
    name = None if study.parent is None else parent_name(study, store.studies())
    return None if name == "(deleted)" else name


def write_parent(store: Store, study: StoredStudy) -> None:
    """Write which study this one follows up to stdout, below an empty line; nothing where there is none."""
    if study.parent is not None:
        answer()
        answer(f"Follows up: {parent_name(study, store.studies())}")
