"""What a run ends with: where its report goes, how the dashboard is opened, and what to say of nothing."""

import shlex
from pathlib import Path

import pytest

from hpsearch.cli.conclusion import dashboard_command, default_report_path, why_nothing
from hpsearch.errors import HpsearchError
from hpsearch.trials import Trial, TrialState
from hpsearch.verdicts import Cause, Finding


def test_reports_lie_beside_the_database() -> None:
    """The report goes to `reports/` beside an SQLite file, and below the current folder for a server."""
    Path("storage").mkdir()
    assert default_report_path("sqlite:///storage/hpsearch.db", "digits") == Path(
        "storage/reports/digits.html"
    )
    server = "postgresql://ann:s3cret@host/d"
    pytest.importorskip("psycopg", reason="needs the extra `postgres`")
    assert default_report_path(server, "digits") == Path("reports/digits.html")
    assert Path("storage/reports").is_dir()


@pytest.mark.parametrize("name", ["../up", "a/b", "a b", ".hidden", "ü" * 200, "/", "-o", "con:", "a-b"])
def test_a_report_has_a_safe_name(name: str) -> None:
    """Whatever a study is called, its report is one plain file in the folder of reports, and it is its own."""
    path = default_report_path("sqlite:///hpsearch.db", name)
    path.write_text("")
    assert path.parent == Path("reports")
    assert path.resolve().parent == Path("reports").resolve()
    assert not path.name.startswith((".", "-"))
    others = {
        default_report_path("sqlite:///hpsearch.db", other) for other in ("a-b", "up", "hidden", "o", "study")
    }
    assert (path in others) == (name == "a-b")


def test_a_folder_that_cannot_be_made_is_told() -> None:
    """Where a file is in the way of the folder of reports, the error names it."""
    Path("reports").write_text("")
    with pytest.raises(
        HpsearchError, match=r"report: its folder must be writable \(got reports: File exists\)"
    ):
        default_report_path("sqlite:///hpsearch.db", "digits")


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
