"""`hpsearch reproduce`: claims next to measurements, as a table, as JSON and as a page."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Command = Callable[..., CompletedProcess[str]]

FAST = ("wrong-output-in-regression", "integer-inputs-256")


def test_a_subset_is_judged_written_and_kept(command: Command) -> None:
    """The table has every claim of the named studies, the page is written, and a second call trains nothing again."""
    asked = ("reproduce", *FAST, "--data", "digits", "--output", "page.html")
    ended = command(*asked)
    assert ended.returncode == 0, ended.stderr
    rows = [re.split(r"  +", line)[1] for line in ended.stdout.splitlines()[1:]]
    assert rows == ["wrong-output", "integers-256"]
    assert "not tested: needs MNIST" in ended.stdout
    assert "in place of MNIST" in ended.stderr
    assert "<!doctype html>" in Path("page.html").read_text(encoding="utf-8")
    again = command(*asked, "--format", "json")
    assert again.stderr.count(": stored") == len(FAST)
    claims = {claim["claim"]: claim for claim in json.loads(again.stdout)}
    assert claims["wrong-output"]["judgement"] == "holds"
    assert claims["wrong-output"]["measured"][0]["seeds"] == 3
    assert claims["integers-256"]["reason"] == "needs MNIST"


def test_a_bar_that_was_never_reached_is_said(command: Command) -> None:
    """No cell contains `infinite`: a share of right answers that no run reached, and a logit that breaks nothing."""
    ended = command("reproduce", "losses", "training-troubles", "--data", "digits", "--output", "page.html")
    assert ended.returncode == 0, ended.stderr
    page = Path("page.html").read_text(encoding="utf-8").partition("<script")[0]
    for shown in (ended.stdout, page):
        assert "infinite" not in shown
        assert "(85 % was not reached in 2 of 2 seeds)" in shown
        assert "stable form in float32: more than 10000 (none up to there breaks it)" in shown


def test_images_that_are_missing_are_told_first(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training on MNIST is not announced if it cannot be read."""
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setenv("HPSEARCH_MNIST", str(empty))
    ended = command("reproduce", "losses", "--data", "mnist")
    assert ended.returncode == 1
    assert "Training on" not in ended.stderr
    assert str(empty) in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("relu-learning-rate",), "did you mean relu-learning-rates?"),
        (("activations-300-epochs",), "add --full"),
        (("--output", "relu.toml/page.html", FAST[0]), "its folder must exist"),
    ],
)
def test_bad_input_says_what_is_right(command: Command, arguments: tuple[str, ...], message: str) -> None:
    """An unknown name, a study that is too long, and a page that cannot be written are reported before any training."""
    Path("relu.toml").write_text("")
    ended = command("reproduce", "--data", "digits", *arguments)
    assert ended.returncode in (1, 2)
    assert message in ended.stderr
    assert ended.stdout == ""


@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)], ids=["Ctrl-C", "killed"]
)
def test_an_end_from_outside_leaves_no_process(sent: signal.Signals, code: int, tmp_path: Path) -> None:
    """Ctrl-C ends the run with 130, and the processes that it started with it; so does a kill."""
    started = subprocess.Popen(
        [sys.executable, "-m", "hpsearch", "reproduce", "--data", "digits", "--workers", "2"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert started.stderr is not None
    while "/23" not in started.stderr.readline():  # the processes run once one study is done
        assert started.poll() is None
    started.send_signal(sent)
    _, errors = started.communicate(timeout=30)
    assert started.returncode == code, errors
    deadline = time.monotonic() + 30
    while _has_members(started.pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not list(tmp_path.glob("storage/reproduction/.*"))


def _has_members(group: int) -> bool:
    """Return True if a process group has a process left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
