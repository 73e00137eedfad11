"""Train the best configurations of a study again with fresh seeds, to find which of them is really the best."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import final

from hpsearch.analysis.confirmation import SeedResults, best_configurations, confirmation
from hpsearch.errors import HpsearchError
from hpsearch.objective.trial import Objective
from hpsearch.storage.records import Evaluation, StoredStudy
from hpsearch.storage.store import Store
from hpsearch.study.configurations import why_untrainable
from hpsearch.study.messages import format_count
from hpsearch.trials import Trial
from hpsearch.worker.capacity import check_memory, job_of, rows_per_worker
from hpsearch.worker.child_trial import children_of
from hpsearch.worker.machine import core_count
from hpsearch.worker.preparation import check_version
from hpsearch.worker.repetitions import fresh_seeds, repetitions, train, train_function
from hpsearch.worker.shutdown import StopRequest
from hpsearch.workflows.listener import SILENT, Listener, Notify
from hpsearch.workflows.preflight import read_data


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Confirmation:
    """The best configurations of a study with their results over fresh seeds, the best mean first.

    It is incomplete if it was stopped: then `found` has the results stored so far.
    """

    study: StoredStudy
    found: Sequence[SeedResults]
    is_complete: bool


def confirm(
    store: Store,
    name: str,
    *,
    best: int = 5,
    seeds: int = 5,
    stop: StopRequest | None = None,
    listener: Listener = SILENT,
    function: Objective | None = None,
) -> Confirmation:
    """Train the best `best` configurations with `seeds` fresh seeds, except those that are stored, and compare them.

    `function` is the study's training function if it exists in this process only. Raises HpsearchError if no trial is
    ranked.
    """
    study = store.studies.get(name)
    store.queue.sweep(study)
    chosen = trainable(study, store.trials.all(study), count=best, notify=listener.notify)
    if not chosen:
        raise HpsearchError(
            f'study "{name}": must have a complete trial with a finite result to confirm (got none): '
            f"hpsearch study run {shlex.quote(name)}"
        )
    stop = stop or StopRequest()
    is_complete = _train(store, study, chosen, seeds=seeds, stop=stop, listener=listener, function=function)
    found = confirmation(
        chosen, store.evaluations.all(study), metric=study.spec.metric, maximize=study.maximize
    )
    return Confirmation(study=study, found=found, is_complete=is_complete)


def trainable(study: StoredStudy, trials: Sequence[Trial], *, count: int, notify: Notify) -> list[Trial]:
    """Return the best trial of each of the `count` best configurations that can be trained again.

    `notify` gets those that another Optuna client reported, and that cannot, with the reason.
    """
    chosen: list[Trial] = []
    for trial in best_configurations(trials, maximize=study.maximize, count=len(trials)):
        if len(chosen) == count:
            break
        if (why := why_untrainable(study.spec, trial.params)) is None:
            chosen.append(trial)
        else:
            notify(
                f"Left out: trial {trial.number}, which another Optuna client reported: "
                f"it cannot be trained again ({why})"
            )
    return chosen


def _train(
    store: Store,
    study: StoredStudy,
    chosen: Sequence[Trial],
    *,
    seeds: int,
    stop: StopRequest,
    listener: Listener,
    function: Objective | None,
) -> bool:
    """Train the missing repetitions, and store each cohort as it ends; return True if all are stored."""
    stored = {(one.number, one.seed) for one in store.evaluations.all(study) if one.part == "validation"}
    wanted = {
        seed: [trial.number for trial in chosen if (trial.number, seed) not in stored]
        for seed in fresh_seeds(study.spec.seed, "validation", seeds)
    }
    missing = sum(map(len, wanted.values()))
    if not missing:
        return True
    check_version(study)
    made_again = _trainings(store, study, chosen, wanted, stop=stop, listener=listener, function=function)
    listener.notify(
        f"{format_count(len(chosen), 'configuration')}, {seeds} fresh seeds: {format_count(missing, 'training')}"
    )
    done = 0
    listener.begin(stop)
    for made in made_again:
        store.evaluations.write(study, made)
        done += len(made)
        listener.notify(f"{done:,} of {missing:,}")
    return done == missing


def _trainings(
    store: Store,
    study: StoredStudy,
    chosen: Sequence[Trial],
    wanted: Mapping[int, Sequence[int]],
    *,
    stop: StopRequest,
    listener: Listener,
    function: Objective | None,
) -> Iterator[list[Evaluation]]:
    """Return the results of training the chosen trials again, those `wanted` by fresh seed."""
    params = {trial.number: trial.params for trial in chosen}
    if study.spec.objective is not None:
        here = None if study.spec.objective.is_importable else function
        children = children_of(study, store.folder, here)
        return train_function(
            children, params, wanted, at_once=core_count(), stop=stop, notify=listener.notify
        )
    prepared = read_data(store, study, listener)
    job = job_of(prepared)
    check_memory(job)
    rows = rows_per_worker(job.bytes_per_row, budget=len(chosen) * 10, workers=1)
    planned = repetitions(prepared, params, wanted, rows=rows)
    return train(prepared, planned, part="validation", stop=stop)
