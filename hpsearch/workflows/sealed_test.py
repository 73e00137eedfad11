"""Open the sealed test part of a study once, for one configuration, and record that permanently."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, final

from hpsearch.analysis.confirmation import SeedResults, best_confirmed, seed_results
from hpsearch.analysis.formats import format_time
from hpsearch.errors import HpsearchError
from hpsearch.storage.records import Evaluation, StoredStudy, Unsealing
from hpsearch.storage.store import Store
from hpsearch.study.configurations import why_untrainable
from hpsearch.study.messages import format_count
from hpsearch.trials import Trial, TrialState
from hpsearch.worker.capacity import check_memory, job_of
from hpsearch.worker.preparation import PreparedStudy, check_version
from hpsearch.worker.repetitions import fresh_seeds, repetitions, train
from hpsearch.worker.shutdown import StopRequest
from hpsearch.workflows.confirmation import trainable
from hpsearch.workflows.listener import SILENT, Listener, Notify
from hpsearch.workflows.preflight import read_data

Approve: TypeAlias = Callable[[StoredStudy, Trial], None]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class SealedTest:
    """The result of `trial` on the test part, and the record of its opening: time, configuration and command.

    `found` is None if the training was stopped; the same call finishes it, with `seeds` fresh seeds.
    """

    study: StoredStudy
    opened: Unsealing
    trial: Trial
    seeds: int
    found: SeedResults | None


def open_test_part(
    store: Store,
    name: str,
    *,
    trial: int | None = None,
    seeds: int = 5,
    approve: Approve | None = None,
    stop: StopRequest | None = None,
    listener: Listener = SILENT,
) -> SealedTest:
    """Open the sealed test part for a configuration, by default the best one, and return its result there.

    A test part is never opened twice: later calls return the recorded result, or finish an interrupted opening, for its
    configuration and its number of seeds. All seeds are stored together. `approve` is called first; an exception from
    it keeps the part sealed.
    """
    study = store.studies.get(name)
    store.queue.sweep(study)
    opened, results = store.evaluations.unsealing(study), measured_on_test(store.evaluations.all(study))
    if opened is not None:
        _refuse_another(study, opened, trial)
    is_complete = True
    if opened is None or not results:
        prepared = _prepared(store, study, listener)
        if opened is None:
            chosen = _chosen(store, study, trial, listener.notify)
            _warn(store, study, listener.notify)
            if approve is not None:
                approve(study, chosen)
            opened = _open(store, study, chosen, seeds)
        seeds = opened.seeds or seeds
        asked = store.trials.get(study, opened.number)
        is_complete = _train(
            store, study, prepared, asked, seeds=seeds, stop=stop or StopRequest(), listener=listener
        )
    else:
        listener.notify("The test part was opened before; nothing is trained again")
    tested = store.trials.get(study, opened.number)
    found = seed_results(tested, store.evaluations.all(study), part="test", metric=study.spec.metric)
    return SealedTest(
        study=study, opened=opened, trial=tested, seeds=seeds, found=found if is_complete else None
    )


def measured_on_test(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """Return the measured result on the test part."""
    return [one for one in evaluations if one.part == "test"]


def opened_command(study: StoredStudy, number: int, seeds: int) -> str:
    """Return the command that opens the test part, without irrelevant options."""
    return f"hpsearch study test {shlex.quote(study.spec.name)} --trial {number} --seeds {seeds}"


def _refuse_another(study: StoredStudy, opened: Unsealing, trial: int | None) -> None:
    """Raise HpsearchError if the test part was opened for another configuration than `trial`."""
    if trial is not None and trial != opened.number:
        raise HpsearchError(
            f"--trial: must be {opened.number}, for which the sealed test part was opened by `{opened.command}` "
            f"on {format_time(opened.opened)} (got {trial}): it opens once; search on other data, or with another "
            f'seed, to test "{study.spec.name}" again'
        )


def _prepared(store: Store, study: StoredStudy, listener: Listener) -> PreparedStudy:
    """Return the study with its data. Raises HpsearchError if that has no test part."""
    check_version(study)
    prepared = read_data(store, study, listener)
    if prepared.data.test is None:
        raise HpsearchError(
            f'study "{study.spec.name}": must have a sealed test part (got data.test_fraction = '
            f"{study.spec.data.test_fraction:g}): set it in the study file, for example to 0.2, and search under "
            "another name"
        )
    check_memory(job_of(prepared))
    return prepared


def _open(store: Store, study: StoredStudy, chosen: Trial, seeds: int) -> Unsealing:
    """Record the opening of the test part, before any training.

    Raises HpsearchError if it was opened meanwhile for another configuration.
    """
    command = opened_command(study, chosen.number, seeds)
    opened = store.evaluations.unseal(study, number=chosen.number, command=command, seeds=seeds)
    _refuse_another(study, opened, chosen.number)  # another process may have opened it in the meantime
    return opened


def _chosen(store: Store, study: StoredStudy, number: int | None, notify: Notify) -> Trial:
    """Return the trial `number`, or the best one: by fresh seeds if any are stored, else by the search."""
    if number is not None:
        trial = store.trials.get(study, number)
        if trial.state is not TrialState.COMPLETE:
            raise HpsearchError(
                f'--trial: must be a complete trial of "{study.spec.name}" (got {number}, whose fate '
                f'is "{trial.fate}"): choose one that `hpsearch study best {shlex.quote(study.spec.name)}` lists'
            )
        if (why := why_untrainable(study.spec, trial.params)) is not None:
            raise HpsearchError(
                f'--trial: must be a trial that "{study.spec.name}" can train (got {number}, which another Optuna '
                f"client reported: {why}): choose another one"
            )
        return trial
    trials = store.trials.all(study)
    metric, maximize = study.spec.metric, study.maximize
    confirmed = best_confirmed(trials, store.evaluations.all(study), metric=metric, maximize=maximize)
    best = [confirmed] if confirmed is not None else trainable(study, trials, count=1, notify=notify)
    if not best:
        raise HpsearchError(
            f'study "{study.spec.name}": must have a complete trial with a finite result to test (got none): '
            f"hpsearch study run {shlex.quote(study.spec.name)}"
        )
    return best[0]


def _warn(store: Store, study: StoredStudy, notify: Notify) -> None:
    """Notify of reasons against opening the test part now."""
    progress = store.studies.progress(study)
    if not progress.is_done:
        done = f"{progress.finished:,} of {format_count(progress.budget, 'trial')}"
        notify(f"Warning: the search is not finished ({done}): the test part is for its end")
    for other in store.studies.all():
        if other.key == study.key or other.fingerprint != study.fingerprint:
            continue
        if (opened := store.evaluations.unsealing(other)) is not None:
            notify(
                f'Warning: study "{other.spec.name}" opened the same test part on {format_time(opened.opened)}: '
                "if you chose anything by that result, this test is biased"
            )


def _train(
    store: Store,
    study: StoredStudy,
    prepared: PreparedStudy,
    trial: Trial,
    *,
    seeds: int,
    stop: StopRequest,
    listener: Listener,
) -> bool:
    """Train the configuration with every seed, and store all results at once; return False if `stop` is requested."""
    wanted = {seed: [trial.number] for seed in fresh_seeds(study.spec.seed, "test", seeds)}
    planned = repetitions(prepared, {trial.number: trial.params}, wanted, rows=1)
    listener.notify(f"Training trial {trial.number} with {seeds} fresh seeds")
    listener.begin(stop)
    made = [one for batch in train(prepared, planned, part="test", stop=stop) for one in batch]
    if len(made) < seeds:
        return False
    store.evaluations.write(study, made)
    return True
