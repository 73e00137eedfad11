"""The database after different ends of processes."""

import subprocess
import sys
from pathlib import Path

import pytest
from optuna.storages import BaseStorage
from optuna.trial import TrialState

from tests.contract.optuna_storage.everything import has_everything, is_bare

COMPLETE, RUNNING = TrialState.COMPLETE, TrialState.RUNNING


@pytest.mark.parametrize("end", [("return", 0), ("exit", 3), ("raise", 1)])
def test_a_process_that_ends_has_written_everything(
    url: str, storage: BaseStorage, study_id: int, repository: Path, end: tuple[str, int]
) -> None:
    """Values set on a running trial are in the database after its process ends by itself in any way."""
    way, code = end
    command = [sys.executable, "-m", "tests.contract.optuna_storage.client", way, url, str(study_id)]
    ended = subprocess.run(command, cwd=repository, capture_output=True, timeout=120, check=False)
    assert ended.returncode == code, ended.stderr.decode()
    trials = storage.get_all_trials(study_id)
    assert [trial.state for trial in trials] == [COMPLETE, RUNNING]
    assert all(has_everything(trial) for trial in trials)


def test_a_killed_process_loses_at_most_what_it_set_on_running_trials(
    url: str, storage: BaseStorage, study_id: int, repository: Path
) -> None:
    """After SIGKILL the finished trials are whole, and a running one has all its values or none."""
    command = [sys.executable, "-m", "tests.contract.optuna_storage.client", "wait", url, str(study_id)]
    with subprocess.Popen(command, cwd=repository, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.kill()
    complete, running = storage.get_all_trials(study_id)
    assert (complete.state, complete.value, running.state) == (COMPLETE, 0.5, RUNNING)
    assert has_everything(complete)
    assert has_everything(running) or is_bare(running)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no forks")
def test_a_fork_leaves_its_parents_connection_and_writes_alone(
    url: str, storage: BaseStorage, study_id: int, repository: Path
) -> None:
    """A child that was forked writes its own, the parent its own, and neither the other's."""
    command = [sys.executable, "-m", "tests.contract.optuna_storage.client", "fork", url, str(study_id)]
    ended = subprocess.run(command, cwd=repository, capture_output=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr.decode()
    trials = storage.get_all_trials(study_id)
    assert [trial.state for trial in trials] == [COMPLETE, RUNNING] * 2
    assert all(has_everything(trial) for trial in trials)
