"""`hpsearch trial replay`: a stored trial again, with its page."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

Command = Callable[..., CompletedProcess[str]]


def replayed(command: Command, *arguments: str) -> Any:
    """Return the JSON of `trial replay`."""
    ended = command("trial", "replay", *arguments, "--format", "json")
    assert (ended.returncode, ended.stderr) == (0, "")
    return json.loads(ended.stdout)


def test_a_trial_is_replayed_for_people(command: Command, finished: str) -> None:
    """The check's result comes first, the page's path last, and the page exists, next to the reports."""
    epochs = json.loads(command("trial", "show", finished, "0", "--format", "json").stdout)["epochs"]
    lines = command("trial", "replay", finished, "0").stdout.splitlines()
    assert lines[0].startswith("flowers: trial 0: bit-identical to the stored curve: ")
    assert any(line.startswith("trained") and f"in {epochs} epoch" in line for line in lines)
    assert lines[-1].endswith("reports/flowers-trial-0.html")
    assert Path(lines[-1].removeprefix("Page: ")).read_text().startswith("<!doctype html>")


def test_every_trial_is_replayed_for_programs(command: Command, finished: str, tmp_path: Path) -> None:
    """A trial of any fate is reproduced as stored."""
    for number in range(12):
        shown = json.loads(command("trial", "show", finished, str(number), "--format", "json").stdout)
        made = replayed(command, finished, str(number), "--output", str(tmp_path / "page.html"))
        assert made["identical"] is (None if made["compared_numbers"] == 0 else True)
        assert (made["original"]["steps"], made["altered"]) == (shown["steps"], None)
        assert made["page"] == str(tmp_path / "page.html")


def test_a_change_is_beside_the_original(command: Command, finished: str) -> None:
    """`--set` trains the same trial with that change, for as many epochs, and prints both."""
    arguments = (finished, "0", "--set", "learning_rate=0.05", "--epochs", "4")
    made = replayed(command, *arguments)
    assert made["settings"] == {"training.learning_rate": 0.05}
    assert made["original"]["steps"] == made["altered"]["steps"] == 4 * 6
    assert made["original"]["training_loss"] != made["altered"]["training_loss"]
    text = command("trial", "replay", *arguments).stdout
    assert "training.learning_rate=0.05" in text.splitlines()[2]


def test_a_change_has_a_page_of_its_own(command: Command, finished: str) -> None:
    """The page's name distinguishes settings, in any order; the same settings replace their page."""
    rate, momentum = ("--set", "learning_rate=0.05"), ("--set", "momentum=0.5")
    changes = ((), rate, ("--set", "learning_rate=0.5"), (*rate, *momentum), (*momentum, *rate))
    pages = [Path(replayed(command, finished, "0", *change)["page"]).name for change in changes]
    assert pages[0] == "flowers-trial-0.html"
    assert re.fullmatch(r"flowers-trial-0-training\.learning_rate-0\.05-[0-9a-f]{8}\.html", pages[1])
    assert pages[3] == pages[4]
    assert sorted(path.name for path in Path("reports").iterdir()) == sorted(set(pages))
    assert len(set(pages)) == 4


def test_a_page_has_a_name_for_any_setting(command: Command, finished: str) -> None:
    """Settings that are long or invalid in a file name are shortened and stay distinct."""
    wide = ", ".join(["4"] * 40)
    long = ("--set", f"model.hidden=[{wide}]", "--set", "model.initializer={ normal = 0.1 }")
    (page, other) = (
        Path(
            replayed(command, finished, "0", "--epochs", "1", *long, "--set", f"momentum={momentum}")["page"]
        )
        for momentum in (0.1, 0.2)
    )
    assert page != other
    assert re.fullmatch(r"[\w.-]{1,120}", page.name)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["99"], 1, 'study "flowers": must have the trial (got 99)'),
        (["0", "--set", "learning_rate"], 2, "--set: must be KEY=VALUE"),
        (["0", "--set", "training.learning_rat=1"], 2, 'did you mean "learning_rate"'),
        (["0", "--set", "lr=1"], 2, "did you mean training.learning_rate?"),
        (["0", "--set", "data.source=wine"], 2, "data.source: must be a field of [model] or [training]"),
        (["0", "--set", "training.batch_size=500"], 2, "must be at most the 120 training examples"),
        (["0", "--watch", "64"], 1, "--watch: must name units of the first hidden layer"),
        (["0", "--output", "nowhere/page.html"], 1, "--output: its folder must exist (got nowhere)"),
        (["0", "--epochs", "0"], 2, "--epochs"),
    ],
)
def test_what_cannot_be_replayed_is_said(
    command: Command, finished: str, arguments: list[str], code: int, message: str
) -> None:
    """A wrong number, setting, unit or path is an error with the reason, and no page is written."""
    ended = command("trial", "replay", finished, *arguments)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert message in ended.stderr
    assert not list(Path().glob("reports/*trial*"))


def test_a_trial_shows_its_curves(command: Command, finished: str) -> None:
    """For people both curves are drawn; programs get none."""
    trials = json.loads(command("study", "trials", finished, "--format", "json").stdout)
    number = next(trial["number"] for trial in trials if trial["epochs"] == 3)
    shown = command("trial", "show", finished, str(number)).stdout
    assert "validation accuracy by epoch\n" in shown
    assert "training loss by epoch\n" in shown
    assert shown.splitlines()[-1].split() == ["1", "3"]
    for form in ("json", "csv"):
        assert "by epoch" not in command("trial", "show", finished, str(number), "--format", form).stdout
