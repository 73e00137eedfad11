"""A process that uses a storage and ends in its own way: `python -m tests.contract.optuna_storage.client WAY URL ID`.

It ends a trial with one of everything, sets one of everything on a running one, and prints "ready". Then it returns,
exits with 3, raises, leaves a child process that does the same as a fork of it, or waits to be killed.
"""

import multiprocessing
import sys
import time

from optuna.storages import BaseStorage
from optuna.trial import TrialState

from hpsearch.storage import open_storage
from tests.contract.optuna_storage.everything import set_everything


def use(storage: BaseStorage, study_id: int) -> None:
    """End a trial, and leave another one running."""
    ended = storage.create_new_trial(study_id)
    set_everything(storage, ended)
    storage.set_trial_state_values(ended, TrialState.COMPLETE, [0.5])
    set_everything(storage, storage.create_new_trial(study_id))


def main(way: str, url: str, study_id: int) -> None:
    """Use the storage and end in that way."""
    storage = open_storage(url)
    use(storage, study_id)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    if way == "exit":
        sys.exit(3)
    if way == "raise":
        raise RuntimeError("the end")
    if way == "wait":
        time.sleep(600)
    if way == "fork":
        child = multiprocessing.get_context("fork").Process(target=use, args=(storage, study_id))
        child.start()
        child.join()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
