"""`hpsearch study narrow` and `study run --rounds`: the table, the follow-up, its link, and continuing."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

Command = Callable[..., CompletedProcess[str]]

WIDE = """
name = "wide"
trials = 40
seed = 3
data = { source = "iris" }
sampler = { name = "random" }
pruning = { rank = "none" }

[training]
epochs = 4
batch_size = 20

[search]
learning_rate = { low = 1e-6, high = 1e4, log = true }
"""


@pytest.fixture
def wide(command: Command) -> str:
    """Return the name of a finished study whose range is far too wide."""
    Path("wide.toml").write_text(WIDE)
    assert command("study", "create", "wide.toml").returncode == 0
    assert command("worker", "start", "--study", "wide", "--exit-when-idle", "--cohort", "8").returncode == 0
    return "wide"


def shown(ended: CompletedProcess[str]) -> Any:
    """Return the JSON of a command."""
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_a_proposal_changes_nothing(command: Command, wide: str) -> None:
    """Without --yes the bounds are shown with reasons, with the command that creates it, and nothing is created."""
    ended = command("study", "narrow", wide)
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    assert lines[0].startswith("wide: by the best 5 trials: ")
    assert lines[2].split() == ["searched", "end", "before", "after", "reason"]
    assert lines[3].split()[:3] == ["learning_rate", "low", "1e-06"]
    assert lines[6].startswith("Inside the new space: ")
    assert lines[-1] == "Create it with: hpsearch study narrow wide --yes"
    assert [study["name"] for study in shown(command("study", "list", "--format", "json"))] == [wide]
    found = shown(command("study", "narrow", wide, "--format", "json"))
    (rate,) = found["search"]
    assert rate["change"] == "narrowed"
    assert rate["before"]["low"] < rate["after"]["low"] < rate["after"]["high"] < rate["before"]["high"]
    inside = {
        trial["number"]
        for trial in shown(command("study", "trials", wide, "--format", "json"))
        if rate["after"]["low"] <= trial["params"]["learning_rate"] <= rate["after"]["high"]
    }
    assert set(found["inside"]) == inside


def test_the_follow_up_is_linked_and_begins_warm(command: Command, wide: str) -> None:
    """It names its parent, has the new ranges, trains the best configurations first, and ends exactly."""
    proposal = shown(command("study", "narrow", wide, "--format", "json"))
    made = command("study", "narrow", wide, "--yes", "--trials", "10", "--name", "closer")
    assert made.returncode == 0
    assert made.stdout.splitlines()[-1] == "Run it with: hpsearch study run closer"
    study = shown(command("study", "show", "closer", "--format", "json"))
    assert (study["parent"], study["trials"], study["waiting"]) == (wide, 10, 2)
    assert "follows up" in command("study", "list").stdout.splitlines()[0]
    assert command("study", "show", "closer").stdout.endswith("Follows up: wide\n")
    assert command("worker", "start", "--study", "closer", "--exit-when-idle").returncode == 0
    trials = shown(command("study", "trials", "closer", "--format", "json"))
    assert len(trials) == 10
    best = shown(command("study", "best", wide, "--count", "2", "--format", "json"))
    assert [trial["params"] for trial in trials[:2]] == [trial["params"] for trial in best]
    after = proposal["search"][0]["after"]
    assert all(after["low"] <= trial["params"]["learning_rate"] <= after["high"] for trial in trials)
    assert command("study", "delete", wide, "--yes").returncode == 0
    assert shown(command("study", "show", "closer", "--format", "json"))["parent"] is None
    assert command("study", "show", "closer").stdout.endswith("Follows up: (deleted)\n")


def test_a_follow_up_that_is_stored_is_said_to_be(command: Command, wide: str) -> None:
    """A second --yes creates and changes nothing; it prints the study's progress and the next step."""
    made = command("study", "narrow", wide, "--yes", "--trials", "2")
    assert made.stdout.splitlines()[-1] == "Run it with: hpsearch study run wide-round-2"
    other = "Create another follow-up with: hpsearch study narrow wide --name OTHER --yes"
    ended = command("study", "narrow", wide, "--yes", "--trials", "30")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines()[-5:] == [
        'Study "wide-round-2": is stored already, with a budget of 2 trials; nothing was changed',
        "wide-round-2: Open: 0 of 2 trials finished, none in training.",
        "Change its budget with: hpsearch study edit wide-round-2 --trials 30",
        "Run it with: hpsearch study run wide-round-2",
        other,
    ]
    assert "created" not in ended.stdout
    assert shown(command("study", "show", "wide-round-2", "--format", "json"))["trials"] == 2
    assert command("worker", "start", "--study", "wide-round-2", "--exit-when-idle").returncode == 0
    ended = command("study", "narrow", wide, "--yes")
    assert ended.stdout.splitlines()[-3:] == [
        "wide-round-2: Finished: 2 of 2 trials.",
        "Narrow it in turn with: hpsearch study narrow wide-round-2",
        other,
    ]
    ended = command("study", "narrow", wide, "--yes", "--format", "json")
    assert shown(ended)["search"]
    assert 'Study "wide-round-2": is stored already' in ended.stderr


def test_a_taken_name_is_refused(command: Command, wide: str) -> None:
    """A follow-up never takes another study's place; a bad name is wrong usage."""
    ended = command("study", "narrow", wide, "--yes", "--name", wide)
    assert ended.returncode == 1
    assert 'study "wide": exists with another specification' in ended.stderr
    assert command("study", "narrow", wide, "--yes", "--name", "").returncode == 2


def test_few_trials_are_told(command: Command, finished: str) -> None:
    """Too few complete trials are an error, with and without --yes."""
    for arguments in ((), ("--yes",)):
        ended = command("study", "narrow", finished, *arguments)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert "must have at least 10 complete trials with a finite result" in ended.stderr


def test_rounds_go_on_where_they_stopped(command: Command, wide: str, tmp_path: Path) -> None:
    """Each round narrows, runs, writes its report; a second call runs nothing again and prints the same."""
    first = command("study", "run", "wide.toml", "--rounds", "2", "--workers", "1")
    assert first.returncode == 0, first.stderr
    assert (tmp_path / "reports/wide.html").exists()
    assert (tmp_path / "reports/wide-round-2.html").exists()
    study = shown(command("study", "show", "wide-round-2", "--format", "json"))
    assert (study["parent"], study["finished"], study["state"]) == (wide, 40, "finished")
    *_, best, rest = first.stdout.split("\nThe best of 2 rounds:\n")
    assert best.count("searched ") == 1
    assert rest.startswith("Best-1 (val acc ")
    again = command("study", "run", wide, "--rounds", "2")
    assert again.returncode == 0
    assert again.stdout.endswith(rest)
    assert "Starting workers" not in again.stderr
    values = [
        trial["value"]
        for name in (wide, "wide-round-2")
        for trial in shown(command("study", "best", name, "--count", "1", "--format", "json"))
    ]
    assert f"Best-1 (val acc {max(values):.3f}, " in rest


def test_rounds_stop_where_trials_say_nothing(command: Command, finished: str) -> None:
    """If the trials cannot narrow the search, the rounds end with that reason, and with the best so far."""
    ended = command("study", "run", finished, "--rounds", "3")
    assert ended.returncode == 0
    assert 'No further round: study "flowers": must have at least 10 complete trials' in ended.stdout
    assert "The best of 1 round:" in ended.stdout
    assert command("study", "run", finished, "--rounds", "3", "--report", "x.html").returncode == 2


def test_a_stranger_is_no_round(command: Command, wide: str) -> None:
    """An unrelated study with the next round's name is left unchanged."""
    assert command("study", "create", "wide.toml", "--name", "wide-round-2").returncode == 0
    ended = command("study", "run", wide, "--rounds", "2")
    assert ended.returncode == 1
    assert 'study "wide-round-2": must follow up "wide" to be its next round' in ended.stderr
