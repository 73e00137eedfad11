"""What a run and its rounds end with, for people, and their exit codes."""

import shlex
from typing import Final

from hpsearch.analysis.formats import format_count, format_parameters, format_result, format_short_metric
from hpsearch.cli.conclusion import conclude
from hpsearch.cli.narrowing import write_created, write_listing_of, write_proposal
from hpsearch.cli.output import answer, say
from hpsearch.cli.progress import TERMINAL, until_stopped
from hpsearch.errors import HpsearchError
from hpsearch.worker.shutdown import INTERRUPTED, StopRequest
from hpsearch.workflows.running import NextRound, Rounds, RunOptions, run, run_rounds

DONE: Final = 0


def run_study(target: str, options: RunOptions) -> int:
    """Run the study that `target`, a file or a name, means; return the exit code: 0, or 130 after a request to stop.

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
    """Run the study that `target` means and those that follow it, `rounds` in all; return the exit code."""
    code = DONE

    def run_one(target: str, options: RunOptions) -> bool:
        nonlocal code
        code = run_study(target, options)
        return code == DONE

    done = run_rounds(
        target, options, rounds=rounds, run_one=run_one, next_round=_write_next, listener=TERMINAL
    )
    if done.is_done:
        _write_best(done)
    return code


def _write_next(following: NextRound) -> None:
    """Write the table of bounds of the next round to stdout, and whether it was created."""
    answer()
    if following.narrowing is None and following.study is None:
        answer(f"No further round: {following.reason}")
        return
    if following.narrowing is not None and _is_proposed(following):
        write_proposal(following.narrowing)
    elif following.study is not None:  # its parent went on after it was made
        write_listing_of(following.parent.spec.search, following.study.spec.search)
    answer()
    if following.study is None:
        answer(f"No further round: {following.reason}")
    elif following.created is not None:
        write_created(following.created, following.where)
        answer()


def _is_proposed(following: NextRound) -> bool:
    """True unless the next round searches something else than its parent's trials suggest by now."""
    study, narrowing = following.study, following.narrowing
    return study is None or (narrowing is not None and narrowing.proposal.search == study.spec.search)


def _write_best(rounds: Rounds) -> None:
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
