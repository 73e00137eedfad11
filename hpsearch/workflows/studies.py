"""Studies, stored and changed."""

from dataclasses import dataclass
from typing import final

from hpsearch.analysis.formats import format_count
from hpsearch.errors import StudyExistsError
from hpsearch.storage.records import StoredStudy
from hpsearch.storage.store import Store
from hpsearch.study.spec import StudySpec
from hpsearch.worker.capacity import Job


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """A study in the database, a sentence that says what happened to it, and whether it was created just now."""

    study: StoredStudy
    sentence: str
    is_new: bool = False


def store_study(store: Store, job: Job, *, trials: int | None) -> Stored:
    """Store the study unless the same one is there already, with the budget `trials` where that is given.

    Raises StudyExistsError where another study has the name, and HpsearchError for a sampler that cannot run.
    """
    known = {other.key: other.spec.name for other in store.studies()}
    if job.spec.name not in known.values():
        from hpsearch.search.samplers import check_sampler

        check_sampler(job.spec)
    try:
        found = store.create_study(job.spec, fingerprint=job.fingerprint)
    except StudyExistsError as error:
        raise StudyExistsError(f"{error}: --name OTHER gives this one another name") from error
    name, budget = found.spec.name, format_count(found.spec.trials, "trial")
    if found.key not in known:
        return Stored(
            study=found,
            sentence=f'Study "{name}": created with a budget of {budget} in {store.url_shown}{_grid_hint(found.spec)}',
            is_new=True,
        )
    if trials is not None and trials != found.spec.trials:
        return with_budget(store, found, trials)
    hint = ""
    if job.spec.trials != found.spec.trials:
        hint = f" (the file has {job.spec.trials:,}: --trials {job.spec.trials} sets that)"
    return Stored(study=found, sentence=f'Study "{name}": is stored already, with a budget of {budget}{hint}')


def _grid_hint(spec: StudySpec) -> str:
    """Say so where a grid has fewer points than the study has trials, so that points are tried again."""
    from hpsearch.search.space import grid_size

    if spec.sampler.name != "grid" or (points := grid_size(spec)) >= spec.trials:
        return ""
    return f"; its grid has {format_count(points, 'point')} only, so trials repeat them"


def with_budget(store: Store, study: StoredStudy, trials: int) -> Stored:
    """Give a stored study the budget `trials`. Trials that are finished stay, also where they are more."""
    before = study.spec.trials
    changed = store.set_budget(study, trials)
    sentence = (
        f'Study "{study.spec.name}": the budget is {format_count(trials, "trial")} now (it was {before:,})'
    )
    return Stored(study=changed, sentence=sentence)
