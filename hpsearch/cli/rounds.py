"""`hpsearch study run --rounds N`: run, narrow, run what follows, and say which configuration was best of all."""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from hpsearch.analysis.formats import format_count, format_parameters, format_result, format_short_metric
from hpsearch.cli.narrowing import (
    follow_up,
    proposal_for,
    round_name,
    write_created,
    write_listing_of,
    write_proposal,
)
from hpsearch.cli.output import answer, say
from hpsearch.cli.running import DONE, RunOptions, run_study
from hpsearch.errors import StudyExistsError, UsageError
from hpsearch.search.narrowing import CannotNarrowError
from hpsearch.storage.records import StoredStudy
from hpsearch.storage.store import Store, open_store
from hpsearch.study.reader import read_study
from hpsearch.trials import ParameterValue, Trial, best_trials
from hpsearch.worker.preparation import is_study_file

_BEST: Final = 5


def run_rounds(target: str, options: RunOptions, *, rounds: int) -> int:
    """Run the study that `target` means and those that follow it, `rounds` in all; return the exit code.

    Rounds that are finished are not run again, and follow-ups that are there are taken as they are, so the same command
    goes on after an interruption. It ends before the last round where the trials do not say how to go on.
    """
    if options.report is not None:
        raise UsageError(
            f"--report: must name one file for one study (got {options.report} for {rounds} rounds): leave it out, and "
            "each round writes its own"
        )
    names = [options.name or read_study(Path(target)).name if is_study_file(target) else target]
    for number in range(1, rounds + 1):
        say(f"Round {number} of {rounds}: {names[-1]}")
        first = number == 1
        code = run_study(target if first else names[-1], options if first else replace(options, name=None))
        if code != DONE:
            return code
        with open_store(options.url) as store:
            following = None if number == rounds else _following(store, store.study(names[-1]), options)
            if following is None:
                _write_best(store, names)
                return DONE
        names.append(following.spec.name)
    return DONE


def _following(store: Store, study: StoredStudy, options: RunOptions) -> StoredStudy | None:
    """Return the study of the next round, created where needed, after its table of bounds; None where there is none."""
    name = round_name(study.spec.name)
    there = next((other for other in store.studies() if other.spec.name == name), None)
    if there is not None:
        return _taken_up(store, study, there)
    trials = store.trials(study)
    answer()
    try:
        proposal = proposal_for(study, trials)
    except CannotNarrowError as error:
        answer(f"No further round: {error}")
        return None
    write_proposal(study, proposal)
    answer()
    if not proposal.changes:
        answer("No further round: the trials suggest no other ranges.")
        return None
    made, warm = follow_up(store, study, proposal, trials, name=name, trials_wanted=options.trials)
    write_created(store, made, warm)
    answer()
    return made


def _taken_up(store: Store, study: StoredStudy, there: StoredStudy) -> StoredStudy:
    """Return the next round that is there already. Raises StudyExistsError for a study of that name that is none."""
    if there.parent != study.key:
        raise StudyExistsError(
            f'study "{there.spec.name}": must follow up "{study.spec.name}" to be its next round (it does not): '
            f"rename it, or begin with another name: --name OTHER, or "
            f"hpsearch study narrow {shlex.quote(study.spec.name)} --name OTHER --yes"
        )
    answer()
    try:
        proposal = proposal_for(study, store.trials(study))
    except CannotNarrowError:
        proposal = None
    if proposal is not None and proposal.search == there.spec.search:
        write_proposal(study, proposal)
    else:  # its parent went on after it was made
        write_listing_of(study.spec.search, there.spec.search)
    answer()
    return there


def _write_best(store: Store, names: Sequence[str]) -> None:
    """Write the best configurations over all rounds to stdout, each once, though a later round trained it again."""
    studies = [store.study(name) for name in names]
    metric = studies[0].spec.metric
    found = _best_configurations([(study, store.trials(study)) for study in studies])
    answer()
    if not found:
        answer("No trial is complete with a finite result: there is no best of all rounds.")
        return
    answer(f"The best of {format_count(len(names), 'round')}:")
    for rank, (study, trial) in enumerate(found, start=1):
        result = f"{format_short_metric(metric)} {format_result(trial.value, metric)}"
        params = format_parameters(trial.params, study.spec.search)
        answer(f"Best-{rank} ({result}, {study.spec.name} trial {trial.number}) | {params}")
    answer()
    answer(f"How much of that is luck: hpsearch study confirm {shlex.quote(found[0][0].spec.name)}")


def _best_configurations(
    rounds: Sequence[tuple[StoredStudy, Sequence[Trial]]],
) -> list[tuple[StoredStudy, Trial]]:
    """Return the best configurations of all rounds, each with its best result, of equal results the first."""
    maximize = rounds[0][0].maximize
    ranked = [
        (trial.value or 0.0, study, trial)
        for study, trials in rounds
        for trial in best_trials(trials, maximize=maximize, count=len(trials))
    ]
    ranked.sort(key=lambda one: one[0], reverse=maximize)  # stable, in either direction
    found: dict[frozenset[tuple[str, ParameterValue]], tuple[StoredStudy, Trial]] = {}
    for _, study, trial in ranked:
        found.setdefault(frozenset(trial.params.items()), (study, trial))
    return list(found.values())[:_BEST]
