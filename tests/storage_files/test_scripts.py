"""The scripts of `storage/`, run as a cluster or a server would run them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def folder(repository: Path) -> Path:
    """Return `storage/`."""
    return repository / "storage"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return an environment with a virtual environment's folder that holds our hpsearch."""
    program = tmp_path / "venv/bin/hpsearch"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m hpsearch "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    outer = {name: value for name, value in os.environ.items() if name != "HPSEARCH_STORAGE"}
    return {**outer, "HPSEARCH_VENV": str(tmp_path / "venv"), "HPSEARCH_URL_FILE": str(tmp_path / "url")}


def _submitted(
    folder: Path, environment: dict[str, str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run the batch script as SLURM does on a node."""
    command = ["bash", str(folder / "slurm/workers.sbatch"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_a_batch_task_works_on_the_database_of_the_private_file(
    folder: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """The worker takes the URL from the file, and ends with 0 if nothing is left to do."""
    url = Path(environment["HPSEARCH_URL_FILE"])
    url.write_text(f"sqlite:///{tmp_path}/batch.db\n", encoding="utf-8")
    url.chmod(0o600)
    ended = _submitted(folder, environment)
    assert (ended.returncode, (tmp_path / "batch.db").exists()) == (0, True), ended.stderr
    assert "nothing is left to do" in ended.stderr
    named = _submitted(folder, environment, "digits")
    assert (named.returncode, "digits" in named.stderr) == (1, True)


@pytest.mark.parametrize("mode", [None, 0o644, 0o640])
def test_a_batch_task_refuses_a_missing_or_a_public_file(
    folder: Path, environment: dict[str, str], mode: int | None
) -> None:
    """A URL that others can read is refused, with its mode and the remedy, before anything runs."""
    url = Path(environment["HPSEARCH_URL_FILE"])
    if mode is not None:
        url.write_text("sqlite:///never.db\n", encoding="utf-8")
        url.chmod(mode)
    ended = _submitted(folder, environment)
    assert ended.returncode == 2
    assert str(url) in ended.stderr
    assert ("must be in a file" if mode is None else f"got mode {mode:o}") in ended.stderr


def test_the_database_user_is_not_made_without_a_password(folder: Path) -> None:
    """The script that makes the user is executable and wants HPSEARCH_PASSWORD before it touches a server."""
    script = folder / "kubernetes/postgres-user.sh"
    assert os.access(script, os.X_OK)
    environment = {name: value for name, value in os.environ.items() if name != "HPSEARCH_PASSWORD"}
    ended = subprocess.run([script], env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode != 0
    assert "HPSEARCH_PASSWORD: must be set" in ended.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize(
    ("name", "call"),
    [("hpsearch-worker@.service", "worker start"), ("hpsearch-dashboard.service", "dashboard")],
)
def test_systemd_accepts_the_unit(folder: Path, tmp_path: Path, name: str, call: str) -> None:
    """A unit has no mistake that systemd sees. Its program is ours here: it must exist to be accepted."""
    text = (folder / "systemd" / name).read_text(encoding="utf-8")
    assert f"ExecStart=/opt/hpsearch/bin/hpsearch {call}\n" in text
    (tmp_path / name).write_text(text.replace("/opt/hpsearch/bin/hpsearch", sys.executable), encoding="utf-8")
    command = ["systemd-analyze", "verify", str(tmp_path / name)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize(
    "path",
    [
        "storage/hpsearch.db",
        "storage/hpsearch.db-wal",
        "storage/compose/.env",
        "storage/kubernetes/secret.env",
        "storage/kubernetes/study/study.toml",
        "storage/hpsearch-crash-20260101T000000.000000Z.txt",
        "storage/reports/digits.html",
    ],
)
def test_git_leaves_databases_and_passwords_alone(repository: Path, path: str) -> None:
    """What the README has its readers make in here never gets into a commit."""
    if not (repository / ".git").exists() or shutil.which("git") is None:
        pytest.skip("this is no git checkout")
    ended = subprocess.run(["git", "-C", repository, "check-ignore", "-q", path], check=False)
    assert ended.returncode == 0
