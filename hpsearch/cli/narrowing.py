"""What a follow-up study should search, next to what this one searched, for people and for programs."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, Final

from hpsearch.analysis.formats import format_count, format_parameter
from hpsearch.analysis.study_state import state_sentence
from hpsearch.cli.options import Format
from hpsearch.cli.output import Listing, answer, say, write_json, write_listing, write_table
from hpsearch.search.narrowing import Proposal, Revision
from hpsearch.storage.records import StoredStudy
from hpsearch.study.messages import format_number
from hpsearch.study.spec import Choices, Dimension
from hpsearch.trials import ParameterValue, Trial
from hpsearch.workflows.narrowing import FollowUp, Narrowing, round_name

_RIGHT: Final = frozenset({"before", "after"})
_MANY: Final = 12
"""More trials than this are counted and not listed."""


def write_narrowing(narrowing: Narrowing, form: Format) -> None:
    """Write what a follow-up should search to stdout."""
    if form is Format.TABLE:
        write_proposal(narrowing)
    else:
        _write_for_programs(narrowing.proposal, form)


def write_follow_up(
    narrowing: Narrowing, made: FollowUp, *, trials: int | None, form: Format, where: str
) -> None:
    """Write what was created in the database `where`, or that it was there, and how to go on."""
    if not made.is_new:
        _tell_stored(narrowing.study, made, trials, tell=answer if form is Format.TABLE else say)
    elif form is Format.TABLE:
        answer()
        write_created(made, where)
        answer(f"Run it with: hpsearch study run {shlex.quote(made.study.spec.name)}")


def write_proposal(narrowing: Narrowing) -> None:
    """Write the bounds before and after, with reasons, and the trials that lie inside, to stdout."""
    study, proposal = narrowing.study, narrowing.proposal
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


def write_created(made: FollowUp, where: str) -> None:
    """Write what was created in the database `where` to stdout, and what to know of its numbers."""
    study, warm = made.study, made.warm
    budget = format_count(study.spec.trials, "trial")
    answer(f'Study "{study.spec.name}": created with a budget of {budget} in {where}')
    answer(
        f"It keeps the seed {study.spec.seed}, and so the split: results compare. Its trials are numbered from 0, "
        "with the weights of these numbers."
    )
    if warm:
        first = "best configuration" if warm == 1 else f"best {warm:,} configurations"
        are, count = ("is", "counts") if warm == 1 else ("are", "count")
        answer(f"The {first} inside {are} trained again first, and {count} against its budget.")


def _tell_stored(
    study: StoredStudy, made: FollowUp, trials: int | None, *, tell: Callable[[str], None]
) -> None:
    """Tell that the follow-up is stored already and was not changed, where it stands, and what to do now."""
    stored, progress = made.study, made.progress
    name, parent = shlex.quote(stored.spec.name), shlex.quote(study.spec.name)
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


def write_remedy(narrowing: Narrowing, name: str | None) -> None:
    """Write the command that creates the follow-up, under `name` or that of the next round, to stdout."""
    study = narrowing.study
    answer()
    if narrowing.proposal.changes:
        own = f" --name {shlex.quote(name)}" if name and name != round_name(study.spec.name) else ""
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
