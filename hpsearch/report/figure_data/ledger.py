"""Where the epochs of a study went, and what its budget still holds."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from hpsearch.report.formats import format_count, format_share
from hpsearch.report.snapshot import Snapshot
from hpsearch.trials import Fate, Trial, TrialState, ledger_key
from hpsearch.verdicts import Cause

_FATE_OF_STATE = {
    TrialState.COMPLETE.value: Fate.COMPLETE,
    TrialState.RUNNING.value: Fate.RUNNING,
    TrialState.WAITING.value: Fate.WAITING,
}


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerBar:
    """One entry of the ledger. `trials` may be 0: epochs lost with an attempt that was run again."""

    cause: str
    fate: Fate
    epochs: int
    trials: int
    share: str


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetPart:
    """So many trials that met one fate; `fate` is None for those that the budget has left."""

    fate: Fate | None
    trials: int
    share: str


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Ledger:
    """The entries, largest first; their epochs add up to `epochs`. `facts` are pairs of a name and a value.

    `saved` epochs would have been trained as well, had no trial been stopped. `budget` is the study's budget in trials:
    what is finished, running and left, and the failed trials, which do not count against it.
    """

    bars: tuple[LedgerBar, ...]
    epochs: int
    saved: int
    saved_share: str
    budget: tuple[BudgetPart, ...]
    facts: tuple[tuple[str, str], ...]


def ledger(snapshot: Snapshot) -> Ledger:
    """Return the ledger of the study's progress with the trials behind every entry."""
    entries = sorted(snapshot.progress.ledger.items(), key=lambda entry: (-entry[1], entry[0]))
    total = sum(snapshot.progress.ledger.values())
    keys = [ledger_key(trial.state, trial.verdict) for trial in snapshot.trials]
    trials = Counter(keys)
    fates = dict(zip(keys, (trial.fate for trial in snapshot.trials), strict=True))
    bars = tuple(
        LedgerBar(
            cause=cause,
            fate=fates.get(cause) or _fate_without_trials(cause),
            epochs=epochs,
            trials=trials[cause],
            share=format_share(epochs, total),
        )
        for cause, epochs in entries
    )
    saved = _saved(snapshot)
    return Ledger(
        bars=bars,
        epochs=total,
        saved=saved,
        saved_share=format_share(saved, saved + total),
        budget=_budget(snapshot),
        facts=_facts(snapshot, total, saved),
    )


def _budget(snapshot: Snapshot) -> tuple[BudgetPart, ...]:
    """Return the fates that at least one trial met, in their order, and what is left for new trials."""
    progress = snapshot.progress
    counts: list[tuple[Fate | None, int]] = [
        (fate, tally.trials) for fate in Fate if (tally := progress.fates.get(fate)) is not None
    ]
    left = max(progress.budget - progress.finished - progress.running - progress.waiting, 0)
    whole = sum(count for _, count in counts) + left
    return tuple(
        BudgetPart(fate=fate, trials=count, share=format_share(count, whole))
        for fate, count in [*counts, (None, left)]
        if count
    )


def _fate_without_trials(cause: str) -> Fate:
    return Fate.LOST if cause == Cause.WORKER_LOST else _FATE_OF_STATE.get(cause, Fate.OTHER)


def _facts(snapshot: Snapshot, epochs: int, saved: int) -> tuple[tuple[str, str], ...]:
    progress = snapshot.progress
    left = max(progress.budget - progress.finished, 0)
    counts = [
        ("Finished", f"{progress.finished:,} of {format_count(progress.budget, 'trial')}"),
        ("Complete", f"{progress.complete:,}"),
        ("Stopped early", f"{progress.pruned:,}"),
        ("Failed", f"{progress.failed:,}"),
        ("In training", f"{progress.running:,}"),
        ("Waiting", f"{progress.waiting:,}"),
        ("Left of the budget", format_count(left, "trial")),
        ("Epochs trained", f"{epochs:,}"),
    ]
    if not saved:
        return tuple(counts)
    words = f"{format_count(saved, 'epoch')}, {format_share(saved, saved + epochs)} of all"
    return (*counts, ("Saved by stopping early", words))


def _saved(snapshot: Snapshot) -> int:
    """Return how many epochs the stopped trials did not train."""
    stopped: Sequence[Trial] = [trial for trial in snapshot.trials if trial.state is TrialState.PRUNED]
    full = sum(_full_epochs(trial, snapshot) for trial in stopped)
    return max(full - sum(trial.epochs for trial in stopped), 0)


def _full_epochs(trial: Trial, snapshot: Snapshot) -> int:
    searched = trial.params.get("training.epochs", snapshot.study.spec.training.epochs)
    return int(searched)
