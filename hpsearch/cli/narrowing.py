"""What a follow-up study should search, shown beside what this one searched, and the follow-up itself."""

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any, Final

from hpsearch.analysis.audit import is_audited, wrong_stops
from hpsearch.analysis.formats import format_count, format_parameter
from hpsearch.analysis.study_state import state_sentence
from hpsearch.cli.options import Format
from hpsearch.cli.output import Listing, answer, say, write_json, write_listing, write_table
from hpsearch.errors import HpsearchError
from hpsearch.search.narrowing import Proposal, Revision, propose, warm_start
from hpsearch.storage.records import StoredStudy
from hpsearch.storage.store import Store
from hpsearch.study.messages import format_number
from hpsearch.study.spec import Choices, Dimension
from hpsearch.trials import ParameterValue, Trial

_ROUND: Final = re.compile(r"^(?P<name>.*)-round-(?P<round>\d+)$", flags=re.DOTALL)
_RIGHT: Final = frozenset({"before", "after"})
_MANY: Final = 12
"""More trials than this are counted and not listed."""


def narrow_study(
    store: Store, study: StoredStudy, *, yes: bool, name: str | None, trials: int | None, form: Format
) -> None:
    """Show what a follow-up should search, and with `yes` create it, unless it is stored already.

    Raises HpsearchError where the trials are too few to say, and with `yes` where nothing would change.
    """
    store.sweep(study)
    found = store.trials(study)
    proposal = proposal_for(study, found)
    if form is not Format.TABLE:
        _write_for_programs(proposal, form)
    else:
        write_proposal(study, proposal)
    name = name or round_name(study.spec.name)
    if not yes:
        if form is Format.TABLE:
            _write_remedy(study, proposal, name)
        return
    if not proposal.changes:
        raise HpsearchError(
            f'study "{study.spec.name}": must have trials that suggest other ranges (got no change): '
            f"continue the search with hpsearch study run {shlex.quote(study.spec.name)} --trials N"
        )
    known = {other.key for other in store.studies()}
    made, warm = follow_up(store, study, proposal, found, name=name, trials_wanted=trials)
    if made.key in known:
        _tell_stored(store, study, made, trials, tell=answer if form is Format.TABLE else say)
    elif form is Format.TABLE:
        answer()
        write_created(store, made, warm)
        answer(f"Run it with: hpsearch study run {shlex.quote(made.spec.name)}")


def proposal_for(study: StoredStudy, trials: Sequence[Trial]) -> Proposal:
    """Return the proposal of a study's trials, without those that diagnosis would have stopped and that ran on.

    One of these that ended among the best counts: there diagnosis was wrong.
    """
    wrong = {trial.number for trial in wrong_stops(trials, maximize=study.maximize)}
    counted = [trial for trial in trials if trial.number in wrong or not is_audited(trial)]
    return propose(study.spec, counted, maximize=study.maximize)


def follow_up(
    store: Store,
    study: StoredStudy,
    proposal: Proposal,
    trials: Sequence[Trial],
    *,
    name: str,
    trials_wanted: int | None = None,
) -> tuple[StoredStudy, int]:
    """Create the follow-up study where it is not stored, and return it with how many configurations it begins with.

    It keeps the seed, and with it the split: results of both studies are on the same validation examples. Weights
    follow from the seed and the trial's number, which begins at 0 again.
    """
    budget = trials_wanted or study.spec.trials
    spec = replace(study.spec, name=name, trials=budget, search=proposal.search)
    warm = warm_start(spec, trials, maximize=study.maximize)
    made = store.create_study(spec, fingerprint=study.fingerprint, parent=study, enqueued=warm)
    return made, len(warm)


def round_name(name: str) -> str:
    """Return the name of the study that follows: `x-round-2` after `x`, `x-round-3` after `x-round-2`."""
    found = _ROUND.match(name)
    return f"{name}-round-2" if found is None else f"{found['name']}-round-{int(found['round']) + 1}"


def write_proposal(study: StoredStudy, proposal: Proposal) -> None:
    """Write the bounds before and after, with reasons, and the trials that lie inside, to stdout."""
    answer(f"{study.spec.name}: by the best {len(proposal.best)} trials: {_listed(proposal.best)}")
    answer()
    write_listing(proposal_listing(proposal), Format.TABLE)
    answer()
    count = format_count(len(proposal.inside), "trial")
    answer(f"Inside the new space: {count}{f': {_listed(proposal.inside)}' if proposal.inside else ''}")


def proposal_listing(proposal: Proposal) -> Listing:
    """Return the revised dimensions, each bound with its reason on a line of its own."""
    return Listing(
        objects=[_revision_object(revision) for revision in proposal.revisions],
        heads=("searched", "end", "before", "after", "reason"),
        rows=[row for revision in proposal.revisions for row in _rows(revision)],
        right=_RIGHT,
    )


def write_listing_of(before: Sequence[Dimension], after: Sequence[Dimension]) -> None:
    """Write two search spaces of the same dimensions beside each other to stdout, without reasons."""
    revisions = [
        Revision(before=old, after=new, reasons=("", "")) for old, new in zip(before, after, strict=True)
    ]
    rows = [row for revision in revisions for row in _rows(revision)]
    write_table(("searched", "end", "before", "after"), [row[:-1] for row in rows], right=_RIGHT)


def write_created(store: Store, study: StoredStudy, warm: int) -> None:
    """Write what was created to stdout, and what to know of its numbers."""
    budget = format_count(study.spec.trials, "trial")
    answer(f'Study "{study.spec.name}": created with a budget of {budget} in {store.url_shown}')
    answer(
        f"It keeps the seed {study.spec.seed}, and so the split: results compare. Its trials are numbered from 0, "
        "with the weights of these numbers."
    )
    if warm:
        first = "best configuration" if warm == 1 else f"best {warm:,} configurations"
        are, count = ("is", "counts") if warm == 1 else ("are", "count")
        answer(f"The {first} inside {are} trained again first, and {count} against its budget.")


def _tell_stored(
    store: Store, study: StoredStudy, stored: StoredStudy, trials: int | None, *, tell: Callable[[str], None]
) -> None:
    """Tell that the follow-up is stored already and was not changed, where it stands, and what to do now."""
    name, parent = shlex.quote(stored.spec.name), shlex.quote(study.spec.name)
    progress = store.progress(stored)
    tell("")
    budget = format_count(stored.spec.trials, "trial")
    tell(f'Study "{stored.spec.name}": is stored already, with a budget of {budget}; nothing was changed')
    tell(f"{stored.spec.name}: {state_sentence(progress)}")
    if trials is not None and trials != stored.spec.trials:
        tell(f"Change its budget with: hpsearch study edit {name} --trials {trials}")
    if progress.is_done:
        tell(f"Narrow it in turn with: hpsearch study narrow {name}")
    else:
        tell(f"Run it with: hpsearch study run {name}")
    tell(f"Create another follow-up with: hpsearch study narrow {parent} --name OTHER --yes")


def _write_remedy(study: StoredStudy, proposal: Proposal, name: str) -> None:
    answer()
    if proposal.changes:
        own = "" if name == round_name(study.spec.name) else f" --name {shlex.quote(name)}"
        answer(f"Create it with: hpsearch study narrow {shlex.quote(study.spec.name)}{own} --yes")
    else:
        answer("Nothing to narrow: the trials suggest no other ranges.")


def _write_for_programs(proposal: Proposal, form: Format) -> None:
    if form is Format.CSV:
        write_listing(proposal_listing(proposal), form)
        return
    write_json(
        {
            "best": [trial.number for trial in proposal.best],
            "inside": [trial.number for trial in proposal.inside],
            "search": [_revision_object(revision) for revision in proposal.revisions],
        }
    )


def _revision_object(revision: Revision) -> dict[str, Any]:
    return {
        "name": revision.before.name,
        "change": revision.change,
        "before": _dimension_object(revision.before),
        "after": _dimension_object(revision.after),
        "reasons": list(revision.reasons),
    }


def _dimension_object(dimension: Dimension) -> dict[str, Any]:
    return {key: value for key, value in asdict(dimension).items() if key != "name"}


def _rows(revision: Revision) -> list[tuple[str, ...]]:
    before, after = revision.before, revision.after
    if isinstance(before, Choices) or isinstance(after, Choices):
        listed = [_choices(dimension) for dimension in (before, after)]
        first = (before.name, "choices", *listed, revision.reasons[0])
        return [first, *(("", "", "", "", reason) for reason in revision.reasons[1:])]
    ends = (("low", before.low, after.low), ("high", before.high, after.high))
    return [
        (before.name if end == "low" else "", end, _number(old), _number(new), reason)
        for (end, old, new), reason in zip(ends, revision.reasons, strict=True)
    ]


def _choices(dimension: Dimension) -> str:
    values: tuple[ParameterValue, ...] = dimension.choices if isinstance(dimension, Choices) else ()
    return ", ".join(map(format_parameter, values))


def _number(value: float) -> str:
    return format_number(value, digits=4)


def _listed(trials: Sequence[Trial]) -> str:
    listed = ", ".join(str(trial.number) for trial in trials[:_MANY])
    return listed + (f" and {len(trials) - _MANY:,} more" if len(trials) > _MANY else "")
