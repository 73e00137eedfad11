"""What a run ends with: how the dashboard is opened, and what to say of nothing."""

import shlex

import pytest

from hpsearch.cli.conclusion import dashboard_command, why_nothing
from hpsearch.trials import Trial, TrialState
from hpsearch.verdicts import Cause, Finding


def test_the_dashboards_command_has_no_password() -> None:
    """The command for the dashboard names the database for a shell, with its password masked."""
    pytest.importorskip("psycopg", reason="needs the extra `postgres`")
    for url in ("postgresql://ann:s3cret@host/d", "postgresql://host/d?user=ann&password=s3cret"):
        command = dashboard_command(url)
        assert "s3cret" not in command
        assert shlex.split(command)[:3] == ["hpsearch", "dashboard", "--storage"]
    assert shlex.split(dashboard_command("sqlite:///my data.db"))[3] == "sqlite:///my data.db"


def trial(number: int, state: TrialState, cause: Cause, remedy: str) -> Trial:
    """Return a trial with a verdict."""
    finding = Finding(cause=cause, confidence=1.0, first_step=0, evidence={}, remedy=remedy)
    return Trial(number=number, state=state, params={}, finding=finding)


def test_a_study_in_which_nothing_completed_says_why() -> None:
    """Where no trial completed, the causes are counted and the most common remedy is said."""
    trials = [trial(i, TrialState.PRUNED, Cause.DIVERGED_LR, "Lower the learning rate.") for i in range(3)]
    trials.append(trial(3, TrialState.FAILED, Cause.WORKER_LOST, "Look at its log."))
    assert why_nothing([*trials, Trial(number=4, state=TrialState.WAITING, params={})]) == [
        "No trial completed. 4 trials ended otherwise:",
        "  diverged_lr: 3",
        "  worker_lost: 1",
        "Most common remedy (3 of 4): Lower the learning rate.",
    ]
    assert why_nothing([]) == ["No trial has finished yet."]
