"""`hpsearch dashboard`: refusals before it listens."""

import shlex
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from hpsearch.cli import dashboard
from hpsearch.errors import HpsearchError

Command = Callable[..., CompletedProcess[str]]


def test_an_open_address_without_a_token_is_wrong_usage(command: Command) -> None:
    """Nothing is served to other machines without a token, and the error names the way to get one."""
    ended = command("dashboard", "--host", "0.0.0.0", "--port", "0")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "HPSEARCH_TOKEN" in ended.stderr


def test_a_missing_database_is_told(command: Command, tmp_path: Path) -> None:
    """A dashboard creates no database: a missing one is an error."""
    ended = command("dashboard", "--port", "0", "--storage", f"sqlite:///{tmp_path}/none.db")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert not (tmp_path / "none.db").exists()


def test_a_missing_extra_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a package of the extra is missing, the error has the command that installs it."""
    monkeypatch.setattr(dashboard, "EXTRA", ("json", "no_such_package"))
    with pytest.raises(
        HpsearchError, match=r"needs no_such_package \(not installed\): .+ install \S+\[dashboard\]"
    ):
        dashboard.dashboard(port=0)


def test_the_dashboards_command_has_no_password() -> None:
    """The command for the dashboard names the database for a shell, with its password masked."""
    pytest.importorskip("psycopg", reason="needs the extra `postgres`")
    for url in ("postgresql://ann:s3cret@host/d", "postgresql://host/d?user=ann&password=s3cret"):
        command = dashboard.dashboard_command(url)
        assert "s3cret" not in command
        assert shlex.split(command)[:3] == ["hpsearch", "dashboard", "--storage"]
    assert shlex.split(dashboard.dashboard_command("sqlite:///my data.db"))[3] == "sqlite:///my data.db"
