"""Runs of studies, and what follows: fresh seeds, the sealed test part, narrowing, and rounds."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from hpsearch.analysis.confirmation import (
    SeedResults,
    interval_words,
    mean_words,
    sentence,
)
from hpsearch.analysis.formats import (
    format_metric_noun,
    format_parameter,
    format_parameters,
    format_result,
    format_short_metric,
    format_time,
)
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.analysis.study_state import state_sentence
from hpsearch.cli.dashboard import dashboard_command
from hpsearch.cli.exit import DONE, INTERRUPTED
from hpsearch.cli.options import AnswerFormat, Format
from hpsearch.cli.output import (
    Listing,
    ask,
    write_json,
    write_line,
    write_listing,
    write_message,
    write_table,
)
from hpsearch.cli.progress import TERMINAL, busy, until_stopped
from hpsearch.cli.report import renew_report
from hpsearch.cli.study_rendering import write_advice, write_best, write_fates
from hpsearch.errors import HpsearchError
from hpsearch.search.narrowing import Proposal, Revision
from hpsearch.storage.records import StoredStudy, Unsealing
from hpsearch.storage.store import Store, open_store
from hpsearch.study.messages import format_count, format_number
from hpsearch.study.spec import Choices, Dimension
from hpsearch.trials import ParameterValue, Trial
from hpsearch.worker.shutdown import StopRequest
from hpsearch.workflows import report
from hpsearch.workflows.confirmation import Confirmation
from hpsearch.workflows.json_objects import opened_object, seed_results_object
from hpsearch.workflows.narrowing import FollowUp, Narrowing, round_name
from hpsearch.workflows.run import NextRound, Rounds, RunOptions, run, run_rounds
from hpsearch.workflows.sealed_test import SealedTest, measured_on_test


def write_confirmation(confirmed: Confirmation, form: Format) -> None:
    """Write the results of the best configurations over fresh seeds to stdout."""
    write_listing(confirmation_listing(confirmed.found, confirmed.study), form)
    if form is Format.TABLE:
        write_line()
        write_line(sentence(confirmed.found))


def confirmation_listing(found: Sequence[SeedResults], study: StoredStudy) -> Listing:
    """Return configurations over fresh seeds, the best mean first."""
    metric = study.spec.metric
    searched = [dimension.name for dimension in study.spec.search]
    short = format_short_metric(metric)
    return Listing(
        objects=[seed_results_object(one) for one in found],
        heads=(
            "rank",
            "trial",
            "in the search",
            f"{short}, fresh seeds",
            "95 % interval",
            "seeds",
            *searched,
        ),
        rows=[
            (
                str(one.rank),
                str(one.number),
                format_result(one.in_search, metric),
                mean_words(one, metric),
                interval_words(one, metric),
                str(len(one.values)),
                *(format_parameter(one.params[name]) if name in one.params else "" for name in searched),
            )
            for one in found
        ],
        right=frozenset({"rank", "trial", "in the search", f"{short}, fresh seeds", "seeds", *searched}),
    )


def opened_words(study: StoredStudy, opened: Unsealing, *, has_result: bool) -> str:
    """Return the sentence on the opening of the test part: its time, trial and command."""
    unfinished = "" if has_result else "; it was stopped before the result, and the same command finishes it"
    return (
        f"{study.spec.name}: the test part was opened on {format_time(opened.opened)} for trial {opened.number} "
        f"by `{opened.command}`{unfinished}."
    )


def report_opening(store: Store, study: StoredStudy, write: Callable[[str], None]) -> None:
    """Report the opening of the test part to `write`, if it was opened."""
    if (opened := store.evaluations.unsealing(study)) is not None:
        write(opened_words(study, opened, has_result=bool(measured_on_test(store.evaluations.all(study)))))


def approve(study: StoredStudy, chosen: Trial) -> None:
    """Return after a yes. Raises UsageError if there is no terminal to ask, and Abort after a no."""
    name, params = study.spec.name, format_parameters(chosen.params, study.spec.search)
    ask(
        f'Open the sealed test part of "{name}" for trial {chosen.number}? It opens once',
        refusal=f'Not opening the sealed test part of "{name}", which opens once',
        lines=[f"Trial {chosen.number} | {params}"],
    )


def write_test(tested: SealedTest, found: SeedResults, form: AnswerFormat) -> None:
    """Write the chosen configuration's result on the test part, and the opening, to stdout."""
    study = tested.study
    if form is AnswerFormat.JSON:
        shown = {
            key: value
            for key, value in seed_results_object(found).items()
            if key not in ("rank", "is_behind")
        }
        write_json(shown | {"test": opened_object(tested.opened)})
        return
    write_line(f"Trial {tested.trial.number} | {format_parameters(tested.trial.params, study.spec.search)}")
    write_line(result_sentence(found, study.spec.metric))
    write_line(opened_words(study, tested.opened, has_result=True))


def result_sentence(found: SeedResults, metric: str) -> str:
    """Return the sentence on a configuration's result on the test part."""
    kind = format_metric_noun(metric)
    span = interval_words(found, metric)
    held = f", 95 % interval {span}" if span else ""
    return (
        f"Test {kind}: {mean_words(found, metric)}{held}, over {len(found.values)} fresh seeds "
        f"(validation {kind} in the search: {format_result(found.in_search, metric)})."
    )


_RIGHT: Final = frozenset({"before", "after"})
_MANY: Final = 12
"""Maximum number of trials that are listed; more are only format_count."""


def write_narrowing(narrowing: Narrowing, form: Format) -> None:
    """Write the search space of a follow-up to stdout."""
    if form is Format.TABLE:
        write_proposal(narrowing)
    else:
        _write_for_programs(narrowing.proposal, form)


def write_follow_up(
    narrowing: Narrowing, made: FollowUp, *, trials: int | None, form: Format, where: str
) -> None:
    """Report the follow-up created in the database `where`, or that it existed, and the next steps."""
    if not made.is_new:
        _report_stored(
            narrowing.study, made, trials, write=write_line if form is Format.TABLE else write_message
        )
    elif form is Format.TABLE:
        write_line()
        write_created(made, where)
        write_line(f"Run it with: hpsearch study run {shlex.quote(made.study.spec.name)}")


def write_proposal(narrowing: Narrowing) -> None:
    """Write the old and new bounds, with reasons, and the trials inside them, to stdout."""
    study, proposal = narrowing.study, narrowing.proposal
    write_line(f"{study.spec.name}: by the best {len(proposal.best)} trials: {_listed(proposal.best)}")
    write_line()
    write_listing(proposal_listing(proposal), Format.TABLE)
    write_line()
    count = format_count(len(proposal.inside), "trial")
    write_line(f"Inside the new space: {count}{f': {_listed(proposal.inside)}' if proposal.inside else ''}")


def proposal_listing(proposal: Proposal) -> Listing:
    """Return the revised dimensions, each bound with its reason on a line of its own."""
    return Listing(
        objects=[_revision_object(revision) for revision in proposal.revisions],
        heads=("searched", "end", "before", "after", "reason"),
        rows=[row for revision in proposal.revisions for row in _rows(revision)],
        right=_RIGHT,
    )


def write_listing_of(before: Sequence[Dimension], after: Sequence[Dimension]) -> None:
    """Write two search spaces next to each other to stdout, without reasons; the second may have fewer dimensions."""
    kept = {dimension.name: dimension for dimension in after}
    revisions = [
        Revision(before=old, after=kept.get(old.name, old), reasons=("", ""), is_removed=old.name not in kept)
        for old in before
    ]
    rows = [row for revision in revisions for row in _rows(revision)]
    write_table(("searched", "end", "before", "after"), [row[:-1] for row in rows], right=_RIGHT)


def write_created(made: FollowUp, where: str) -> None:
    """Write the follow-up created in the database `where` to stdout, with notes about its numbers."""
    study, warm = made.study, made.warm
    budget = format_count(study.spec.trials, "trial")
    write_line(f'Study "{study.spec.name}": created with a budget of {budget} in {where}')
    write_line(
        f"It keeps the seed {study.spec.seed}, and so the split: results compare. Its trials are numbered from 0, "
        "with the weights of these numbers."
    )
    if warm:
        first = "best configuration" if warm == 1 else f"best {warm:,} configurations"
        are, count = ("is", "counts") if warm == 1 else ("are", "count")
        write_line(f"The {first} inside {are} trained again first, and {count} against its budget.")


def _report_stored(
    study: StoredStudy, made: FollowUp, trials: int | None, *, write: Callable[[str], None]
) -> None:
    """Report to `write` that the follow-up was stored already and is unchanged, its progress, and the next step."""
    stored, progress = made.study, made.progress
    name, parent = shlex.quote(stored.spec.name), shlex.quote(study.spec.name)
    write("")
    budget = format_count(stored.spec.trials, "trial")
    write(f'Study "{stored.spec.name}": is stored already, with a budget of {budget}; nothing was changed')
    write(f"{stored.spec.name}: {state_sentence(progress)}")
    if trials is not None and trials != stored.spec.trials:
        write(f"Change its budget with: hpsearch study edit {name} --trials {trials}")
    if progress.is_done:
        write(f"Narrow it in turn with: hpsearch study narrow {name}")
    else:
        write(f"Run it with: hpsearch study run {name}")
    write(f"Create another follow-up with: hpsearch study narrow {parent} --name OTHER --yes")


def write_remedy(narrowing: Narrowing, name: str | None) -> None:
    """Write the command that creates the follow-up, under `name` or that of the next round, to stdout."""
    study = narrowing.study
    write_line()
    if narrowing.proposal.changes:
        own = f" --name {shlex.quote(name)}" if name and name != round_name(study.spec.name) else ""
        write_line(f"Create it with: hpsearch study narrow {shlex.quote(study.spec.name)}{own} --yes")
    else:
        write_line("Nothing to narrow: the trials suggest no other ranges.")


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
        "after": None if revision.is_removed else _dimension_object(revision.after),
        "reasons": list(revision.reasons),
    }


def _dimension_object(dimension: Dimension) -> dict[str, Any]:
    shown = {key: value for key, value in asdict(dimension).items() if key not in ("name", "when")}
    return shown | (
        {"when": {name: list(values) for name, values in dimension.when}} if dimension.when else {}
    )


def _rows(revision: Revision) -> list[tuple[str, ...]]:
    before, after = revision.before, revision.after
    if isinstance(before, Choices) or isinstance(after, Choices):
        listed = [_choices(before), "removed" if revision.is_removed else _choices(after)]
        first = (before.name, "choices", *listed, revision.reasons[0])
        return [first, *(("", "", "", "", reason) for reason in revision.reasons[1:])]
    ends = (("low", before.low, after.low), ("high", before.high, after.high))
    return [
        (
            before.name if end == "low" else "",
            end,
            _number(old),
            "removed" if revision.is_removed else _number(new),
            reason,
        )
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


def run_study(target: str, options: RunOptions) -> int:
    """Run the study of `target`, a file or a name; return the exit code: 0, or 130 after a request to stop.

    Raises HpsearchError if the study stopped before its budget was spent.
    """
    stop = StopRequest()
    with until_stopped(last=_write_stopped) as listener:
        done = run(target, options, stop=stop, listener=listener)
        conclude(done.snapshot, url=options.url, output=options.report)
    if done.problem is None:
        return DONE
    if stop.is_requested:
        _write_stopped()
        return INTERRUPTED
    raise HpsearchError(done.problem)


def _write_stopped() -> None:
    write_message("Stopped. Run the same command again to continue.")


def conclude(snapshot: Snapshot, *, url: str, output: Path | None) -> None:
    """Write the result of a study to stdout, and its report to a file.

    `output` is the path of the report; None is the default path.
    """
    study = snapshot.study
    try:
        _write_results(snapshot)
    finally:  # the report is written even if stdout fails
        with busy("Writing the report"):
            path = report.write_report(snapshot, output or report.default_report_path(url, study.spec.name))
    if output is not None:
        with open_store(url, foreign=True) as store:
            renew_report(store, study.spec.name, url=url)
    write_line(f"Report: {path}")
    write_line(f"Dashboard: {dashboard_command(url)}")


def _write_results(snapshot: Snapshot) -> None:
    """Write the best, the fates and the advice to stdout."""
    study = snapshot.study
    write_line(f"{study.spec.name}: {state_sentence(snapshot.progress)}")
    write_line()
    write_best(study, snapshot.trials, snapshot.evaluations)
    write_line()
    write_fates(snapshot.progress)
    write_advice(study, snapshot.trials, snapshot.evaluations)
    write_line()


def run_all_rounds(target: str, options: RunOptions, *, rounds: int) -> int:
    """Run the study of `target` and its follow-ups, `rounds` studies in all; return the exit code."""
    code = DONE

    def run_one(target: str, options: RunOptions) -> bool:
        nonlocal code
        code = run_study(target, options)
        return code == DONE

    done = run_rounds(
        target, options, rounds=rounds, run_one=run_one, next_round=_write_next, listener=TERMINAL
    )
    if done.is_done:
        _write_best_of_rounds(done)
    return code


def _write_next(following: NextRound) -> None:
    """Write the table of bounds of the next round to stdout, and whether it was created."""
    write_line()
    if following.narrowing is None and following.study is None:
        write_line(f"No further round: {following.reason}")
        return
    if following.narrowing is not None and _is_proposed(following):
        write_proposal(following.narrowing)
    elif following.study is not None:  # its parent continued after its creation
        write_listing_of(following.parent.spec.search, following.study.spec.search)
    write_line()
    if following.study is None:
        write_line(f"No further round: {following.reason}")
    elif following.created is not None:
        write_created(following.created, following.where)
        write_line()


def _is_proposed(following: NextRound) -> bool:
    """Return True unless the next round's search space differs from the current suggestion of its parent's trials."""
    study, narrowing = following.study, following.narrowing
    return study is None or (narrowing is not None and narrowing.proposal.search == study.spec.search)


def _write_best_of_rounds(rounds: Rounds) -> None:
    """Write the best configurations over all rounds to stdout, each once, though a later round trained it again."""
    write_line()
    if not rounds.best:
        write_line("No trial is complete with a finite result: there is no best of all rounds.")
        return
    write_line(f"The best of {format_count(len(rounds.names), 'round')}:")
    for rank, (study, trial) in enumerate(rounds.best, start=1):
        result = f"{format_short_metric(rounds.metric)} {format_result(trial.value, rounds.metric)}"
        params = format_parameters(trial.params, study.spec.search)
        write_line(f"Best-{rank} ({result}, {study.spec.name} trial {trial.number}) | {params}")
    write_line()
    write_line(f"How much of that is luck: hpsearch study confirm {shlex.quote(rounds.best[0][0].spec.name)}")
