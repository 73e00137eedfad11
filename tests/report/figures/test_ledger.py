"""The ledger and the budget."""

from dataclasses import replace

from hpsearch.analysis.snapshot import Snapshot
from hpsearch.report.figures.ledger import ledger
from hpsearch.trials import Fate
from hpsearch.verdicts import Cause
from tests.report.synthetic import empty, snapshot_of


def test_the_bars_add_up_to_the_epochs_trained(study: Snapshot) -> None:
    """No epoch is lost between the ledger and the figure, and the largest entry is first."""
    data = ledger(study)
    assert sum(bar.epochs for bar in data.bars) == data.epochs == study.progress.epochs
    assert [bar.epochs for bar in data.bars] == sorted((bar.epochs for bar in data.bars), reverse=True)


def test_every_bar_counts_its_trials(study: Snapshot) -> None:
    """The bars contain all trials that began an epoch, each in one bar."""
    data = ledger(study)
    bars = {bar.cause: bar for bar in data.bars}
    assert bars["complete"].trials == study.progress.complete
    assert bars["complete"].fate is Fate.COMPLETE
    assert bars[Cause.DIVERGED_LR].fate is Fate.DIVERGED
    assert bars[Cause.WD_DOMINATES].fate is Fate.OTHER
    assert sum(bar.trials for bar in data.bars) == len(study.trials) - study.progress.waiting


def test_lost_attempts_have_a_bar_without_trials(study: Snapshot) -> None:
    """Epochs of attempts that were run again are in the ledger with no trial: lost ones, and those handed back."""
    trials = [trial for trial in study.trials if trial.fate is Fate.COMPLETE]
    snapshot = snapshot_of(trials)
    entries = {**snapshot.progress.ledger, "worker_lost": 7, "stopped": 3}
    *_, lost, stopped = ledger(replace(snapshot, progress=replace(snapshot.progress, ledger=entries))).bars
    assert (lost.cause, lost.fate, lost.epochs, lost.trials) == ("worker_lost", Fate.LOST, 7, 0)
    assert (stopped.cause, stopped.fate, stopped.epochs, stopped.trials) == ("stopped", Fate.WAITING, 3, 0)


def test_the_facts_are_those_of_the_budget(study: Snapshot) -> None:
    """The facts are the finished, unused and saved parts; saved are the epochs that stopped trials did not train."""
    facts = dict(ledger(study).facts)
    assert facts["Finished"] == f"{study.progress.finished} of 120 trials"
    assert facts["Left of the budget"] == f"{120 - study.progress.finished} trials"
    saved = sum(20 - trial.epochs for trial in study.trials if trial.state == "pruned")
    assert facts["Saved by stopping early"].startswith(f"{saved:,} epochs")


def test_a_trial_saves_what_it_was_given(study: Snapshot) -> None:
    """If the number of epochs is searched, a stopped trial saves the rest of its own number."""
    stopped = next(trial for trial in study.trials if trial.fate is Fate.TOO_SLOW)
    one = replace(stopped, params={**stopped.params, "training.epochs": 5})
    assert dict(ledger(snapshot_of([one])).facts)["Saved by stopping early"] == "2 epochs, 40 % of all"


def test_a_study_without_trials_has_no_bars() -> None:
    """Nothing was trained, nothing was saved, and the whole budget is unused."""
    data = ledger(empty())
    assert data.bars == ()
    assert dict(data.facts)["Left of the budget"] == "120 trials"
    assert "Saved by stopping early" not in dict(data.facts)


def test_the_budget_is_whole(study: Snapshot) -> None:
    """Finished, running, waiting and unused trials add up to the budget; failed ones do not count."""
    parts = {part.fate: part.trials for part in ledger(study).budget}
    beside = parts[Fate.CRASHED] + parts[Fate.LOST]
    assert beside == study.progress.failed
    assert sum(parts.values()) - beside == study.progress.budget
    open_study = ledger(empty()).budget
    assert [(part.fate, part.trials, part.share) for part in open_study] == [(None, 120, "100 %")]


def test_the_saved_share_is_of_all_epochs_without_stopping(study: Snapshot) -> None:
    """Saved and trained epochs together are what all trials take without stopping."""
    data = ledger(study)
    assert data.saved == sum(20 - trial.epochs for trial in study.trials if trial.state == "pruned")
    assert data.saved_share == f"{100 * data.saved / (data.saved + data.epochs):.0f} %"
