"""Databases with the studies of `tests.report.synthetic`, written as workers write them."""

from dataclasses import replace
from typing import Final

from hpsearch.analysis.snapshot import Snapshot
from hpsearch.storage.records import (
    Assignment,
    ClaimedTrial,
    StoredStudy,
    TrialOutcome,
    Update,
    WorkerIdentity,
)
from hpsearch.storage.store import Store
from hpsearch.trials import Trial, TrialState

AT_ONCE: Final = 500
LEASE_S: Final = 3600.0


def populate(store: Store, snapshot: Snapshot, *, worker: str = "worker-0") -> StoredStudy:
    """Store the study of a snapshot with all its trials, and return it. `worker` holds the running ones."""
    trials = {trial.number: trial for trial in snapshot.trials}
    assert sorted(trials) == list(range(len(trials)))
    # Room for one more: a study whose budget is spent has no running trials.
    spec = replace(snapshot.study.spec, trials=len(trials) + 1)
    study = store.studies.create(spec, fingerprint=snapshot.study.fingerprint)
    store.workers.register(WorkerIdentity(name=worker, host="laboratory", process_id=4711, version="0.1.0"))
    for first in range(0, len(trials), AT_ONCE):
        count = min(AT_ONCE, len(trials) - first)
        claims = store.queue.claim(study, worker=worker, count=count, lease_s=LEASE_S)
        assert [claim.number for claim in claims] == list(range(first, first + count))
        _write(store, study, snapshot, [(claim, trials[claim.number]) for claim in claims])
    waiting = [trial.number for trial in snapshot.trials if trial.state is TrialState.WAITING]
    store.queue.release(study, worker=worker, numbers=waiting, why="drained", crashed=False)
    return study


def _write(
    store: Store, study: StoredStudy, snapshot: Snapshot, pairs: list[tuple[ClaimedTrial, Trial]]
) -> None:
    lost = store.trials.assign(
        study, [Assignment(claim=claim, params=trial.params) for claim, trial in pairs if trial.params]
    )
    updates = [
        _update(claim, trial, snapshot) for claim, trial in pairs if trial.state is not TrialState.WAITING
    ]
    lost |= store.trials.record(study, updates)
    assert not lost


def _update(claim: ClaimedTrial, trial: Trial, snapshot: Snapshot) -> Update:
    outcome = None
    if trial.state.is_final:
        assert trial.finding is not None
        outcome = TrialOutcome(
            state=trial.state,
            value=trial.value,
            finding=trial.finding,
            series=snapshot.series.get(trial.number, {}),
        )
    return Update(claim=claim, reports=trial.curve, epochs=trial.epochs, steps=trial.steps, outcome=outcome)
