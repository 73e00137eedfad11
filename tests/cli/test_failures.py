"""Failed trials have a limit of their own, after which a study stops, and every view has the reason."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import optuna
import pytest

Command = Callable[..., CompletedProcess[str]]

WHY = (
    "3 of 12 trials failed: no verdict 3: see `hpsearch study trials flowers --state failed`; "
    "`hpsearch study edit flowers --trials 40` continues it"
)


@pytest.fixture
def stopped(command: Command, study_file: Path) -> str:
    """Return the name of a study in which another Optuna client failed three trials."""
    assert command("study", "create", str(study_file)).returncode == 0
    fail("flowers", 3)
    return "flowers"


def fail(name: str, count: int) -> None:
    """Let another Optuna client fail trials."""
    study = optuna.load_study(study_name=name, storage="sqlite:///default.db")
    for _ in range(count):
        study.tell(study.ask(), state=optuna.trial.TrialState.FAIL)


def test_a_study_with_too_many_failures_says_why(command: Command, stopped: str) -> None:
    """`study show` prints the failures, how to see them, and how to continue."""
    assert command("study", "show", stopped).stdout.splitlines()[0] == (
        f"flowers: Stopped: 0 of 12 trials finished. {WHY}"
    )
    shown = json.loads(command("study", "show", stopped, "--format", "json").stdout)
    assert (shown["state"], shown["stopped"], shown["failed"]) == ("stopped", WHY, 3)
    listed = json.loads(command("study", "trials", stopped, "--state", "failed", "--format", "json").stdout)
    assert len(listed) == 3


def test_nothing_is_trained_in_it(command: Command, stopped: str) -> None:
    """`study run` ends with 1 and the reason, a worker with the reason alone, and neither trains a trial."""
    ended = command("study", "run", stopped, "--workers", "1")
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == f'Error: study "flowers": Stopped: 0 of 12 trials finished. {WHY}'
    for study in ((), ("--study", stopped)):
        ended = command("worker", "start", *study, "--exit-when-idle", "--name", "ann")
        assert (ended.returncode, ended.stdout) == (0, "")
        assert ended.stderr.splitlines()[1:] == [
            f'worker ann: study "flowers": stopped: {WHY}',
            "worker ann: nothing is left to do",
        ]
    assert json.loads(command("study", "show", stopped, "--format", "json").stdout)["epochs"] == 0


def test_the_remedy_that_it_names_helps(command: Command, stopped: str) -> None:
    """With the budget that the message names, the study continues and ends exactly at it."""
    assert (
        command("study", "edit", stopped, "--trials", "39")
        .stdout.splitlines()[-1]
        .startswith("flowers: Stopped")
    )
    assert (
        command("study", "edit", stopped, "--trials", "40")
        .stdout.splitlines()[-1]
        .startswith("flowers: Open")
    )
    assert command("study", "run", stopped, "--workers", "1", "--cohort", "8").returncode == 0
    shown = json.loads(command("study", "show", stopped, "--format", "json").stdout)
    assert (shown["finished"], shown["failed"], shown["state"]) == (40, 3, "finished")


def test_failures_beneath_the_limit_stop_nothing(command: Command, study_file: Path) -> None:
    """Two of twelve may fail: they count against no budget, and the study ends with twelve others."""
    assert command("study", "create", str(study_file)).returncode == 0
    fail("flowers", 2)
    assert command("study", "run", "flowers", "--workers", "1", "--cohort", "4").returncode == 0
    shown = json.loads(command("study", "show", "flowers", "--format", "json").stdout)
    assert (shown["finished"], shown["failed"]) == (12, 2)
