"""The progress of a study, the end of a run, and changes, for people."""

import getpass
import shlex
import socket
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from hpsearch.analysis.advice import advice
from hpsearch.analysis.audit import Audit, audit_of
from hpsearch.analysis.best_trials import (
    best_lines,
    has_several_objectives,
    leading_trials,
    objectives_words,
    result_words,
    rival_words,
    setting_words,
    value_words,
)
from hpsearch.analysis.configurations import configuration_rows
from hpsearch.analysis.confirmation import confirmation, ranked_trials
from hpsearch.analysis.formats import (
    format_count,
    format_parameters,
    format_result,
    format_share,
    format_short_metric,
    format_tick,
)
from hpsearch.analysis.json_objects import study_object
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.analysis.study_state import fate_rows, state_sentence
from hpsearch.analysis.summary import Decade, fates_by_decade
from hpsearch.cli.dashboard import dashboard_command
from hpsearch.cli.exit import DONE, INTERRUPTED
from hpsearch.cli.options import Format
from hpsearch.cli.output import answer, ask, say, write_csv, write_json, write_listing, write_table
from hpsearch.cli.progress import TERMINAL, busy, until_stopped
from hpsearch.cli.report import renew_report
from hpsearch.cli.study_follow_up import write_created, write_listing_of, write_proposal
from hpsearch.cli.study_tables import configurations_listing
from hpsearch.errors import HpsearchError
from hpsearch.storage.foreign_trials import described, remedy
from hpsearch.storage.records import Evaluation, Progress, StoredStudy
from hpsearch.storage.store import open_store
from hpsearch.study.spec import fault_in_words
from hpsearch.trials import Fate, Trial
from hpsearch.worker.shutdown import StopRequest
from hpsearch.workflows import report
from hpsearch.workflows.run import NextRound, Rounds, RunOptions, run, run_rounds
from hpsearch.workflows.studies import Deletion, Edited


def write_overview(
    study: StoredStudy, progress: Progress, trials: Sequence[Trial], evaluations: Sequence[Evaluation] = ()
) -> None:
    """Write the study's progress, fates, ledger, advice and audit to stdout."""
    answer(f"{study.spec.name}: {state_sentence(progress)}")
    for foreign in progress.foreign:
        words = described(foreign)
        answer(f"{words[:1].upper()}{words[1:]}: {remedy(study.spec.name, foreign)}")
    if study.spec.data.fault is not None:
        answer(f"Fault on purpose: {fault_in_words(study.spec.data.fault)}.")
    _write_best(study, trials, evaluations)
    if rows := configuration_rows(study, trials):
        answer()
        write_listing(configurations_listing(rows, study), Format.TABLE)
    answer()
    write_fates(progress)
    if decades := fates_by_decade(study.spec.search, trials):
        answer()
        write_decades(decades)
    answer()
    write_ledger(progress)
    write_advice(study, trials, evaluations)
    audit = audit_of(trials, maximize=study.maximize)
    if audit.audited or study.spec.pruning.audit:
        answer()
        answer(audit_words(audit))


def _write_best(study: StoredStudy, trials: Sequence[Trial], evaluations: Sequence[Evaluation]) -> None:
    """Write the best trial to stdout, by fresh seeds if any were trained with them."""
    metric, maximize = study.spec.metric, study.maximize
    for trial in ranked_trials(trials, evaluations, metric=metric, maximize=maximize, count=1):
        found = next(iter(confirmation([trial], evaluations, metric=metric, maximize=maximize)), None)
        word = "Best so far" if found is None else "Best"
        params = setting_words(trial, study.spec)
        answer(f"{word}: trial {trial.number} ({result_words(trial, found, metric)}) | {params}")
    if rival := rival_words(trials, study, evaluations=evaluations):
        answer(rival)


def write_foreign_overview(
    study: StoredStudy, progress: Progress, trials: Sequence[Trial], form: Format
) -> None:
    """Write the known facts about a study that another Optuna client made to stdout."""
    best = leading_trials(trials, study, count=len(trials))
    if form is not Format.TABLE:
        shown = study_object(study, progress)
        if has_several_objectives(study):
            shown["front"] = [trial.number for trial in best]
        write_json(shown) if form is Format.JSON else write_csv([shown])
        return
    answer(f"{study.name}: {state_sentence(progress)}")
    answer(f"Objective{'s' if has_several_objectives(study) else ''}: {objectives_words(study)}.")
    if best and has_several_objectives(study):
        numbers = ", ".join(str(trial.number) for trial in best[:_FRONT_SHOWN])
        more = f" and {len(best) - _FRONT_SHOWN} more" if len(best) > _FRONT_SHOWN else ""
        answer(f"On the Pareto front, beaten by no other in all objectives: trials {numbers}{more}.")
    elif best:
        params = setting_words(best[0], study.spec)
        answer(f"Best so far: trial {best[0].number} ({value_words(best[0], study)}) | {params}")
    answer()
    rows = fate_rows(progress)
    cells = [(row.fate.value, f"{row.trials:,}") for row in rows]
    write_table(("fate", "trials"), cells, right=frozenset({"trials"}))


_FRONT_SHOWN = 10


def write_decades(decades: Sequence[Decade]) -> None:
    """Write the fates of the trials of each decade of learning rates to stdout."""
    fates = [fate for fate in Fate if any(fate in decade.fates for decade in decades)]
    cells = [
        (
            f"{format_tick(decade.low)} to {format_tick(decade.high)}",
            f"{decade.trials:,}",
            *(f"{decade.fates.get(fate, 0):,}" for fate in fates),
        )
        for decade in decades
    ]
    heads = ("trials", *(fate.value for fate in fates))
    write_table(("learning_rate", *heads), cells, right=frozenset(heads))


def write_advice(study: StoredStudy, trials: Sequence[Trial], evaluations: Sequence[Evaluation] = ()) -> None:
    """Write the advice from the trials to stdout, below an empty line; nothing if there is none."""
    if advised := advice(study.spec, trials, maximize=study.maximize, is_confirmed=bool(evaluations)):
        answer()
        answer(f"Advice: {advised}.")


def audit_words(audit: Audit) -> str:
    """Return how often stopping was wrong, judged by the trials that ran on."""
    if not audit.audited:
        return "Audit: no trial that diagnosis would have stopped has run on to its end yet."
    low, high = (f"{100 * bound:.1f}" for bound in audit.interval)
    return (
        f"Audit: {audit.wrong:,} of {format_count(audit.audited, 'trial')} that diagnosis would have stopped ended in "
        f"the best tenth: false-stop rate {100 * audit.wrong / audit.audited:.1f} % "
        f"(95 % interval {low} to {high} %)."
    )


def write_fates(progress: Progress) -> None:
    """Write the number of trials of each fate, and the epochs that they began, to stdout."""
    rows = fate_rows(progress)
    cells = [(row.fate.value, f"{row.trials:,}", f"{row.epochs:,}") for row in rows]
    total = ("all", f"{sum(row.trials for row in rows):,}", f"{sum(row.epochs for row in rows):,}")
    write_table(("fate", "trials", "epochs"), [*cells, total], right=frozenset({"trials", "epochs"}))


def write_ledger(progress: Progress) -> None:
    """Write where every epoch went to stdout."""
    cells = [
        (cause, f"{epochs:,}", format_share(epochs, progress.epochs))
        for cause, epochs in progress.ledger.items()
    ]
    total = ("all", f"{progress.epochs:,}", "")
    write_table(("ledger", "epochs", "share"), [*cells, total], right=frozenset({"epochs", "share"}))


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
    answer(f"Report: {path}")
    answer(f"Dashboard: {dashboard_command(url)}")


def _write_results(snapshot: Snapshot) -> None:
    """Write the best, the fates and the advice to stdout."""
    study = snapshot.study
    answer(f"{study.spec.name}: {state_sentence(snapshot.progress)}")
    answer()
    write_best(study, snapshot.trials, snapshot.evaluations)
    answer()
    write_fates(snapshot.progress)
    write_advice(study, snapshot.trials, snapshot.evaluations)
    answer()


def write_best(
    study: StoredStudy, trials: Sequence[Trial], evaluations: Sequence[Evaluation], count: int = 5
) -> None:
    """Write the best configurations to stdout, or the fates of the trials if there is none."""
    for line in best_lines(trials, study, count, evaluations=evaluations) or why_nothing(trials):
        answer(line)
    if rival := rival_words(trials, study, evaluations=evaluations):
        answer(rival)


def why_nothing(trials: Sequence[Trial]) -> list[str]:
    """Return the fates of the trials if none is complete with a finite result."""
    ended = [trial for trial in trials if trial.state.is_final]
    if not ended:
        return ["No trial has finished yet."]
    causes = Counter(trial.verdict or "no verdict" for trial in ended)
    lines = [f"No trial completed. {format_count(len(ended), 'trial')} ended otherwise:"]
    lines += [f"  {cause}: {count}" for cause, count in causes.most_common()]
    remedies = Counter(trial.finding.remedy for trial in ended if trial.finding is not None)
    if remedies:
        remedy, count = remedies.most_common(1)[0]
        lines.append(f"Most common remedy ({count} of {len(ended)}): {remedy}")
    return lines


def run_study(target: str, options: RunOptions) -> int:
    """Run the study of `target`, a file or a name; return the exit code: 0, or 130 after a request to stop.

    Raises HpsearchError if the study stopped before its budget was spent.
    """
    stop = StopRequest()
    with until_stopped(last=_say_stopped) as listener:
        done = run(target, options, stop=stop, listener=listener)
        conclude(done.snapshot, url=options.url, output=options.report)
    if done.problem is None:
        return DONE
    if stop.is_asked:
        _say_stopped()
        return INTERRUPTED
    raise HpsearchError(done.problem)


def _say_stopped() -> None:
    say("Stopped: the same command continues from here")


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
    answer()
    if following.narrowing is None and following.study is None:
        answer(f"No further round: {following.reason}")
        return
    if following.narrowing is not None and _is_proposed(following):
        write_proposal(following.narrowing)
    elif following.study is not None:  # its parent continued after its creation
        write_listing_of(following.parent.spec.search, following.study.spec.search)
    answer()
    if following.study is None:
        answer(f"No further round: {following.reason}")
    elif following.created is not None:
        write_created(following.created, following.where)
        answer()


def _is_proposed(following: NextRound) -> bool:
    """Return True unless the next round's search space differs from the current suggestion of its parent's trials."""
    study, narrowing = following.study, following.narrowing
    return study is None or (narrowing is not None and narrowing.proposal.search == study.spec.search)


def _write_best_of_rounds(rounds: Rounds) -> None:
    """Write the best configurations over all rounds to stdout, each once, though a later round trained it again."""
    answer()
    if not rounds.best:
        answer("No trial is complete with a finite result: there is no best of all rounds.")
        return
    answer(f"The best of {format_count(len(rounds.names), 'round')}:")
    for rank, (study, trial) in enumerate(rounds.best, start=1):
        result = f"{format_short_metric(rounds.metric)} {format_result(trial.value, rounds.metric)}"
        params = format_parameters(trial.params, study.spec.search)
        answer(f"Best-{rank} ({result}, {study.spec.name} trial {trial.number}) | {params}")
    answer()
    answer(f"How much of that is luck: hpsearch study confirm {shlex.quote(rounds.best[0][0].spec.name)}")


def write_edited(edited: Edited) -> None:
    """Write the changes and the progress of the study to stdout."""
    _write_sentences(edited)
    answer(f"{edited.study.spec.name}: {state_sentence(edited.progress)}")


def write_paused(edited: Edited) -> None:
    """Write that the study was paused, and how to resume it, to stdout."""
    write_stopped(edited)
    answer(f"Go on with: hpsearch study resume {shlex.quote(edited.study.spec.name)}")


def write_stopped(edited: Edited) -> None:
    """Write that the study takes no more trials to stdout."""
    _write_sentences(edited)
    if edited.progress.running:
        answer(f"In training, and going on to their end: {edited.progress.running:,}")


def _write_sentences(edited: Edited) -> None:
    for sentence in edited.sentences:
        answer(sentence)


def user() -> str:
    """Return the current user as `user@host`, or the host alone if the system has no name for the user."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (OSError, KeyError, ImportError):
        return socket.gethostname()


def approve_deletion(deletion: Deletion) -> None:
    """Return after a yes. Raises UsageError if there is no terminal, and Abort after a no."""
    in_training = f", {deletion.running} of them in training," if deletion.running else ""
    ask(f"Delete the {_what(deletion)}{in_training} permanently?", refusal=f'Not deleting "{deletion.name}"')


def write_deletion(deletion: Deletion) -> None:
    """Write the deleted study and the trials that were in training to stdout."""
    answer(f"Deleted the {_what(deletion)}.")
    if deletion.running:
        say(f"Warning: {_in_training(deletion)}: their work is lost")


def _what(deletion: Deletion) -> str:
    return f'study "{deletion.name}" with {format_count(deletion.trials, "trial")} in {deletion.where}'


def _in_training(deletion: Deletion) -> str:
    """Return the number of trials in training and the workers that held them."""
    by = ", ".join(f"{worker} ({trials:,})" for worker, trials in deletion.workers.items() if trials)
    count = format_count(deletion.running, "trial")
    return f"{count} {'was' if deletion.running == 1 else 'were'} in training{f', by {by}' if by else ''}"
