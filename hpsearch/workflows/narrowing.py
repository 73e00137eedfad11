"""Propose the search space of a follow-up study, and create the follow-up."""

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, final

from hpsearch.analysis.verdict_summary import is_audited, wrong_stops
from hpsearch.errors import HpsearchError
from hpsearch.search.narrowing import Proposal, lies_inside, propose, warm_start
from hpsearch.storage.records import Progress, StoredStudy
from hpsearch.storage.store import Store
from hpsearch.trials import Trial
from hpsearch.worker.shutdown import do_nothing
from hpsearch.workflows.studies import check_name

_ROUND: Final = re.compile(r"^(?P<name>.*)-round-(?P<round>\d+)$", flags=re.DOTALL)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class FollowUp:
    """A follow-up study, its progress, the number of trained configurations it begins with, and whether it is new."""

    study: StoredStudy
    progress: Progress
    warm: int
    is_new: bool


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Narrowing:
    """The search space that `trials` suggest for a follow-up of `study`, and the follow-up if it was created."""

    study: StoredStudy
    trials: Sequence[Trial]
    proposal: Proposal
    follow_up: FollowUp | None = None


def narrow(
    store: Store,
    name: str,
    *,
    create: bool = False,
    new_name: str | None = None,
    trials: int | None = None,
    proposed: Callable[[Narrowing], None] = do_nothing,
) -> Narrowing:
    """Return the search space that a follow-up of the study should have; with `create`, create the follow-up.

    `new_name` and `trials` are the follow-up's name and budget. `proposed` gets the search space before the follow-up
    is created. Raises CannotNarrowError if the trials are too few, and HpsearchError if nothing would change.
    """
    if new_name is not None:
        check_name("--name", new_name)
    study = store.studies.get(name)
    store.queue.sweep(study)
    narrowing = narrowing_of(study, store.trials.all(study))
    proposed(narrowing)
    if not create:
        return narrowing
    return replace(narrowing, follow_up=follow_up(store, narrowing, name=new_name, trials=trials))


def narrowing_of(study: StoredStudy, trials: Sequence[Trial]) -> Narrowing:
    """Return the search space that the trials suggest, without trials that ran on against diagnosis.

    Diagnosis would have stopped these. One that ended among the best counts, because then diagnosis was wrong. If
    ranges were edited, only trials inside the present ones count.
    """
    wrong = {trial.number for trial in wrong_stops(trials, maximize=study.maximize)}
    counted = [trial for trial in trials if trial.number in wrong or not is_audited(trial)]
    if study.edits:
        counted = [trial for trial in counted if lies_inside(trial.params, study.spec.search)]
    proposal = propose(study.spec, counted, maximize=study.maximize)
    return Narrowing(study=study, trials=trials, proposal=proposal)


def follow_up(
    store: Store, narrowing: Narrowing, *, name: str | None = None, trials: int | None = None
) -> FollowUp:
    """Create the follow-up study if it is not stored. The default name is that of the next round.

    It keeps the seed, and with it the split: results of both studies are on the same validation examples. Weights
    follow from the seed and the trial's number, which begins at 0 again. Raises HpsearchError if nothing would change.
    """
    study, proposal = narrowing.study, narrowing.proposal
    if not proposal.changes:
        raise HpsearchError(
            f'study "{study.spec.name}": must have trials that suggest other ranges (got no change): '
            f"continue the search with hpsearch study run {shlex.quote(study.spec.name)} --trials N"
        )
    known = {other.key for other in store.studies.all()}
    spec = replace(
        study.spec,
        name=name or round_name(study.spec.name),
        trials=trials or study.spec.trials,
        search=proposal.search,
    )
    warm = warm_start(spec, narrowing.trials, maximize=study.maximize)
    made = store.studies.create(spec, fingerprint=study.fingerprint, parent=study, enqueued=warm)
    return FollowUp(
        study=made, progress=store.studies.progress(made), warm=len(warm), is_new=made.key not in known
    )


def round_name(name: str) -> str:
    """Return the name of the next study: `x-round-2` after `x`, `x-round-3` after `x-round-2`."""
    found = _ROUND.match(name)
    return f"{name}-round-2" if found is None else f"{found['name']}-round-{int(found['round']) + 1}"
