"""A process that forks: `python -m tests.contract.optuna_storage.forking URL STUDY_NAME WAY ...`. See `WAYS`."""

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable
from typing import Final

import optuna
from optuna.storages import BaseStorage
from optuna.trial import TrialState
from sqlalchemy import Engine

from hpsearch.errors import StorageError
from hpsearch.storage import fork_safety, open_storage
from hpsearch.storage.optuna import cache
from hpsearch.storage.optuna.storage import OptunaStorage
from hpsearch.storage.store import open_store
from tests.contract.optuna_storage.everything import set_everything


class Turns:
    """Lets a parent and its child take turns."""

    def __init__(self) -> None:
        self._pipes = os.pipe(), os.pipe()

    def pass_to_child(self) -> None:
        """Let the child continue."""
        os.write(self._pipes[0][1], b"x")

    def wait_in_child(self) -> None:
        """Wait for `pass_to_child`."""
        os.read(self._pipes[0][0], 1)

    def pass_to_parent(self) -> None:
        """Let the parent continue."""
        os.write(self._pipes[1][1], b"x")

    def wait_in_parent(self) -> None:
        """Wait for `pass_to_parent`."""
        os.read(self._pipes[1][0], 1)


def forked(work: Callable[[], None]) -> int:
    """Run `work` in a child that ends without any cleanup; return its process id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


def ended(*children: int) -> None:
    """Wait until the children have ended, and check that all of them did their work."""
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    if any(codes):
        raise RuntimeError(f"the children ended with {codes}")


def complete(storage: BaseStorage, study_id: int) -> None:
    """Make a trial and end it."""
    storage.set_trial_state_values(storage.create_new_trial(study_id), TrialState.COMPLETE, [0.5])


def kept(engine: Engine) -> object:
    """Return the driver's connection that waits in the pool: a reference to it keeps it open in a child, too.

    Without one, a child closes it at its next garbage collection, with random effects.
    """
    borrowed = engine.raw_connection()
    connection = borrowed.dbapi_connection
    borrowed.close()
    return connection


def outlive(url: str, name: str, *, own: bool) -> None:
    """The parent closes its connections while a child, with a storage of its `own` or not, is at work."""
    storage, turns = OptunaStorage(url), Turns()
    study_id = storage.get_study_id_from_name(name)
    connection = kept(storage._database._engine)

    def work() -> None:
        mine = open_storage(url) if own else storage
        complete(mine, study_id)
        turns.pass_to_parent()
        turns.wait_in_child()
        complete(mine, study_id)

    child = forked(work)
    turns.wait_in_parent()
    storage.remove_session()
    turns.pass_to_child()
    ended(child)
    del connection


def outlive_store(url: str, name: str) -> None:
    """The parent closes its store while a child is at work with the same one, and with a storage."""
    store, turns = open_store(url), Turns()
    connection = kept(store._transactions.engine)

    def work() -> None:
        storage = open_storage(url)
        study_id = storage.get_study_id_from_name(name)
        complete(storage, study_id)
        turns.pass_to_parent()
        turns.wait_in_child()
        if name not in store.studies.foreign_names():
            raise RuntimeError("the study is missing")
        complete(storage, study_id)

    child = forked(work)
    turns.wait_in_parent()
    store.close()
    turns.pass_to_child()
    ended(child)
    del connection


def hand_over(url: str, name: str) -> None:
    """The parent sets everything on two trials and leaves one of them to a child, which ends it at once."""
    cache.FLUSH_AFTER_S = 3600.0  # type: ignore[misc]  # nothing is written for the time that it has waited
    storage = open_storage(url)
    study_id = storage.get_study_id_from_name(name)
    given, kept = (storage.create_new_trial(study_id) for _ in range(2))
    set_everything(storage, given)
    set_everything(storage, kept)
    ended(forked(lambda: end(storage, given)))
    end(storage, kept)


def end(storage: BaseStorage, trial_id: int) -> None:
    """End a trial."""
    storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [0.5])


def crowd(url: str, name: str) -> None:
    """Threads make trials all the time while the parent forks children that make one each."""
    storage, is_over = open_storage(url), threading.Event()
    study_id = storage.get_study_id_from_name(name)

    def write() -> None:
        while not is_over.is_set():
            complete(storage, study_id)

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    children = [forked(lambda: complete(storage, study_id)) for _ in range(8)]
    ended(*children)
    is_over.set()
    for thread in threads:
        thread.join()
    count = len(storage.get_all_trials(study_id))
    sys.stdout.write(f"{count}\n")


def in_vain(url: str, name: str) -> None:
    """The parent forks while one of its threads keeps a transaction open, longer than the fork waits."""
    fork_safety.WAIT_S = 0.1  # type: ignore[misc]
    storage, is_inside, is_over = open_store(url), threading.Event(), threading.Event()
    inside = threading.Thread(target=_stay_inside, args=(is_inside, is_over))
    inside.start()
    is_inside.wait()

    def work() -> None:
        try:
            open_storage(url).get_all_studies()
        except StorageError as error:
            sys.stdout.write(f"{error}\n")
            sys.stdout.flush()

    ended(forked(work))
    is_over.set()
    inside.join()
    if name not in storage.studies.foreign_names():
        raise RuntimeError("the study is missing")


def _stay_inside(is_inside: threading.Event, is_over: threading.Event) -> None:
    with fork_safety.connected():
        is_inside.set()
        is_over.wait()


def processes(url: str, name: str, *, method: str) -> None:
    """Two children of multiprocessing optimize the given study while the parent does, too."""
    study = optuna.load_study(study_name=name, storage=open_storage(url))
    context = multiprocessing.get_context(method)
    children = [context.Process(target=optimize, args=(study,)) for _ in range(2)]  # type: ignore[attr-defined]
    for child in children:
        child.start()
    study.optimize(objective, n_trials=2)
    for child in children:
        child.join()
    if any(child.exitcode for child in children):
        raise RuntimeError(f"the children ended with {[child.exitcode for child in children]}")


def optimize(study: optuna.Study) -> None:
    """Run ten trials."""
    study.optimize(objective, n_trials=10)


def objective(trial: optuna.Trial) -> float:
    """Return a parameter, reported and stored as an attribute too."""
    x = trial.suggest_float("x", 0.0, 1.0)
    trial.report(x, 0)
    trial.set_user_attr("x", x)
    return x


WAYS: Final[dict[str, Callable[[str, str], None]]] = {
    "outlive-shared": lambda url, name: outlive(url, name, own=False),
    "outlive-own": lambda url, name: outlive(url, name, own=True),
    "outlive-store": outlive_store,
    "hand-over": hand_over,
    "crowd": crowd,
    "in-vain": in_vain,
    "fork": lambda url, name: processes(url, name, method="fork"),
    "spawn": lambda url, name: processes(url, name, method="spawn"),
    "forkserver": lambda url, name: processes(url, name, method="forkserver"),
}

if __name__ == "__main__":
    for way in sys.argv[3:]:
        WAYS[way](sys.argv[1], sys.argv[2])
