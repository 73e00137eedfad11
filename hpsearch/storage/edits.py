"""What users do to stored studies other than running them: one function, one transaction, as the methods of Store."""

from collections.abc import Mapping, Sequence

from hpsearch.storage import enqueuing, foreign_trials, renaming, studies
from hpsearch.storage.records import StoredStudy
from hpsearch.storage.store import Store
from hpsearch.trials import ParameterValue


def enqueue(store: Store, study: StoredStudy, asked: Sequence[Mapping[str, ParameterValue]]) -> list[int]:
    """Let a trial wait for each of `asked`, before all new ones; return their numbers.

    What is not given is sampled. They count against the budget: beyond it they wait for more of it.
    """
    return store.write(
        lambda connection: enqueuing.enqueue(connection, studies.lock(connection, study).study, asked)
    )


def rename_named(store: Store, old: str, name: str) -> None:
    """Give the study `old`, made by any client, readable or not, another name. Its key and all that depends on it stay.

    Raises StudyExistsError for a taken name, HpsearchError while trials run.
    """
    store.sweep_all()
    store.write_to(
        old,
        lambda connection, place: renaming.rename(connection, place, old, name, has_ours=store.has_ours),
    )


def copy_named(store: Store, old: str, name: str) -> int:
    """Copy the study `old`, made by any client, readable or not, to another name; return how many trials it has.

    Trials that run wait in the copy. Raises StudyExistsError for a taken name.
    """
    return store.write_to(
        old, lambda connection, place: renaming.copy(connection, place, name, has_ours=store.has_ours)
    )


def stop_study(store: Store, study: StoredStudy) -> StoredStudy:
    """End the study with what has finished and what runs, and return it with that as its budget.

    Raises HpsearchError where that is nothing.
    """
    store.sweep(study)
    return store.write(lambda connection: renaming.stop(connection, studies.lock(connection, study)))


def fail_trial(store: Store, study: StoredStudy, number: int) -> bool:
    """Give up a trial that another Optuna client runs, or that waits; return False if it had failed before.

    Raises HpsearchError for a trial that a worker of ours trains or that has finished, and TrialNotFoundError.
    """
    store.sweep(study)
    return store.write(
        lambda connection: foreign_trials.fail(connection, studies.lock(connection, study), number)
    )


def retry_trial(store: Store, study: StoredStudy, number: int) -> foreign_trials.Retried:
    """Let our workers train a trial that another Optuna client runs, or a failed one's parameters as a new trial.

    Return the trial that waits now. Raises HpsearchError for a trial that a worker of ours trains or that has finished,
    and TrialNotFoundError.
    """
    store.sweep(study)
    return store.write(
        lambda connection: foreign_trials.retry(connection, studies.lock(connection, study), number)
    )
