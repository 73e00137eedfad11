"""Processes that are forked, or started in another way, with a storage that is open."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from optuna.storages import BaseStorage
from optuna.trial import TrialState

from tests.contract.optuna_storage.everything import has_everything

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no forks")

COMPLETE = TrialState.COMPLETE

Start = Callable[..., str]


@pytest.fixture
def start(url: str, storage: BaseStorage, study_id: int, repository: Path) -> Start:
    """Provide a function that lets a process fork in some ways and returns its output."""
    name = storage.get_study_name_from_id(study_id)
    storage.remove_session()  # an open connection would keep the log of SQLite

    def run(*ways: str) -> str:
        command = [sys.executable, "-m", "tests.contract.optuna_storage.forking", url, name, *ways]
        done = subprocess.run(
            command, cwd=repository, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_a_child_loses_nothing_when_its_parent_closes(
    start: Start, storage: BaseStorage, study_id: int
) -> None:
    """Writes of a forked child after its parent closed its connections are in the database."""
    start("outlive-shared", "outlive-own", "outlive-store")
    assert [trial.state for trial in storage.get_all_trials(study_id)] == [COMPLETE] * 6


def test_a_child_ends_a_trial_with_what_its_parent_set(
    start: Start, storage: BaseStorage, study_id: int
) -> None:
    """A trial that is handed to a forked child is whole when the child ends it, and its parent's own one too."""
    start("hand-over")
    trials = storage.get_all_trials(study_id)
    assert [trial.state for trial in trials] == [COMPLETE] * 2
    assert all(has_everything(trial) for trial in trials)


def test_a_fork_waits_for_the_transactions_of_other_threads(
    start: Start, storage: BaseStorage, study_id: int
) -> None:
    """Children that are forked while other threads write can write at once, and no trial of either is lost."""
    count = int(start("crowd"))
    assert count > 8
    trials = storage.get_all_trials(study_id)
    assert [trial.number for trial in trials] == list(range(count))
    assert all(trial.state is COMPLETE for trial in trials)


def test_a_child_that_inherits_a_transaction_is_refused(start: Start, dialect: str) -> None:
    """A child that was forked in spite of an open transaction may use a server, but not an SQLite file."""
    said = start("in-vain")
    if dialect == "sqlite":
        assert "must not be used by this process, which was forked in the middle of a transaction" in said
    else:
        assert said == ""


def test_processes_share_a_study(start: Start, storage: BaseStorage, study_id: int, dialect: str) -> None:
    """Children that are given a study create exactly their trials, each complete, with any start method."""
    ways = ("fork", "spawn", "forkserver") if dialect == "sqlite" else ("fork",)
    start(*ways)
    trials = storage.get_all_trials(study_id)
    assert [trial.number for trial in trials] == list(range(22 * len(ways)))
    for trial in trials:
        x = trial.params["x"]
        assert (trial.state, trial.value, trial.user_attrs) == (COMPLETE, x, {"x": x})
        assert trial.intermediate_values == {0: x}
