"""`hpsearch study edit`, `pause` and `resume`: their effects and output, and a run's output for a paused study."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

Command = Callable[..., CompletedProcess[str]]


@pytest.fixture
def created(command: Command, study_file: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of a study of 12 trials without any work done; the user is Ann."""
    monkeypatch.setattr("getpass.getuser", lambda: "ann")
    monkeypatch.setattr("socket.gethostname", lambda: "node7")
    assert command("study", "create", str(study_file)).returncode == 0
    return "flowers"


def shown(command: Command, name: str) -> Any:
    """Return the JSON of `study show`."""
    return json.loads(command("study", "show", name, "--format", "json").stdout)


def test_budget_and_priority_are_set(command: Command, created: str) -> None:
    """Each given value is set and reported on one line, then the study's progress."""
    ended = command("study", "edit", created, "--trials", "20", "--priority", "-3")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == (
        'Study "flowers": the budget is 20 trials now (it was 12)\n'
        'Study "flowers": the priority is -3 now (it was 0)\n'
        "flowers: Open: 0 of 20 trials finished, none in training.\n"
    )
    study = shown(command, created)
    assert (study["trials"], study["priority"]) == (20, -3)
    assert command("study", "edit", created, "--priority", "2").stdout == (
        'Study "flowers": the priority is 2 now (it was -3)\n'
        "flowers: Open: 0 of 20 trials finished, none in training.\n"
    )
    head, row = command("study", "list").stdout.splitlines()
    assert row[head.index("priority") : head.index("created")].strip() == "2"


def test_limits_are_set_and_removed(command: Command, created: str) -> None:
    """Each limit is reported on one line, `study show` prints how the study stands; wrong values are all refused."""
    ended = command("study", "edit", created, "--hours", "1.5", "--epochs", "9", "--until", "0.9")
    assert ended.stdout == (
        'Study "flowers": budget.hours is 1.5 now (it was none)\n'
        'Study "flowers": budget.epochs is 9 now (it was none)\n'
        'Study "flowers": budget.until is 0.9 now (it was none)\n'
        "flowers: Open: 0 of 12 trials finished, none in training.\n"
    )
    wrong = command("study", "edit", created, "--hours", "-1", "--patience", "soon")
    assert wrong.returncode == 2
    assert "hours: must be a number above 0 and at most 1e+06 (got -1), or none to remove it" in wrong.stderr
    assert 'patience: must be a whole number from 1 to 10000000 (got "soon")' in wrong.stderr
    assert command("study", "edit", created, "--hours", "none", "--until", "none").returncode == 0
    assert command("worker", "start", "--exit-when-idle", "--cohort", "2").returncode == 0
    study = shown(command, created)
    assert (study["state"], study["ended_by"], study["running"]) == ("finished", "epochs", 0)
    (limit,) = study["limits"]
    assert (limit["name"], limit["limit"], limit["is_reached"]) == ("epochs", 9, True)
    assert 9 <= limit["used"] == study["epochs"]
    printed = command("study", "show", created).stdout
    assert (
        f"flowers: Finished at a limit, {limit['used']} of 9 epochs: {study['finished']} of 12 trials"
        in printed
    )
    run = command("study", "run", created, "--workers", "1")
    assert "`hpsearch study edit flowers --epochs N` lets it go on" in run.stderr
    assert run.returncode == 0


def test_a_budget_below_what_is_finished_takes_nothing_back(command: Command, finished: str) -> None:
    """A lowered budget ends the study and leaves every trial; a raised one opens it again."""
    assert command("study", "edit", finished, "--trials", "5").stdout == (
        'Study "flowers": the budget is 5 trials now (it was 12)\n'
        "flowers: Finished: 12 of 5 trials, 7 more than the budget.\n"
    )
    assert shown(command, finished)["finished"] == 12
    assert command("study", "edit", finished, "--trials", "14").stdout.endswith(
        "flowers: Open: 12 of 14 trials finished, none in training.\n"
    )
    assert command("worker", "start", "--exit-when-idle", "--cohort", "2").returncode == 0
    assert shown(command, finished)["finished"] == 14


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (),
            (
                "study edit: needs a value to set (got none): add --trials N, --priority N, "
                "--range NAME=LOW:HIGH, or a limit such as --hours N"
            ),
        ),
        (("--trials", "0"), "must be at least 1 (got 0)"),
        (("--trials", "9" * 27), f"must be at most 10000000 (got {'9' * 27})"),
        (("--priority", "high"), "must be a whole number (got high)"),
    ],
)
def test_an_edit_that_sets_nothing_is_wrong_usage(
    command: Command, created: str, arguments: tuple[str, ...], message: str
) -> None:
    """An edit needs an option and a value."""
    ended = command("study", "edit", created, *arguments)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert message in ended.stderr


def test_a_paused_study_waits_for_its_resumption(command: Command, created: str) -> None:
    """A paused study gives workers no trials and names who paused it; a resumed one continues to its budget."""
    paused = command("study", "pause", created)
    said = re.fullmatch(
        r'Study "flowers": (paused by ann@node7 at \d{4}-\d\d-\d\d \d\d:\d\d UTC)\n'
        r"Go on with: hpsearch study resume flowers\n",
        paused.stdout,
    )
    assert said is not None
    why = f"{said[1]}: `hpsearch study resume flowers` continues it"
    assert command("study", "pause", created).stdout == paused.stdout
    study = shown(command, created)
    assert (study["state"], study["stopped"]) == ("paused", why)
    state = f"flowers: Paused: 0 of 12 trials finished. P{why[1:]}"
    assert command("study", "show", created).stdout.splitlines()[0] == state
    assert command("study", "list").stdout.splitlines()[1].split()[:2] == [created, "paused"]
    ended = command("worker", "start", "--exit-when-idle", "--name", "bob")
    assert ended.returncode == 0
    assert ended.stderr.splitlines()[1:] == [
        f'worker bob: study "flowers": {why}',
        "worker bob: nothing is left to do",
    ]
    ended = command("study", "run", created)
    assert ended.returncode == 1
    assert ended.stderr.endswith(f'Error: study "flowers": {state.removeprefix("flowers: ")}\n')
    assert command("study", "resume", created).stdout == (
        'Study "flowers": resumed\nflowers: Open: 0 of 12 trials finished, none in training.\n'
    )
    assert command("study", "resume", created).stdout == (
        'Study "flowers": was not paused\nflowers: Open: 0 of 12 trials finished, none in training.\n'
    )
    assert command("worker", "start", "--exit-when-idle", "--cohort", "2").returncode == 0
    assert shown(command, created)["state"] == "finished"


def test_a_user_without_a_name_can_pause(
    command: Command, created: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the system has no name for the user, as in some containers, the host alone is stored."""

    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert command("study", "pause", created).stdout.startswith('Study "flowers": paused by node7 at ')


@pytest.mark.parametrize("verb", ["edit", "pause", "resume"])
def test_a_study_that_is_not_there_is_told(command: Command, created: str, verb: str) -> None:
    """An unknown name is refused with the nearest one."""
    ended = command("study", verb, "flower", *(("--priority", "1") if verb == "edit" else ()))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == 'Error: study "flower": there is no such study: did you mean flowers?\n'


def test_an_edited_range_is_shown_with_the_one_before(command: Command, finished: str) -> None:
    """New trials get the new range; `study show`, its JSON and the report have both, the study file the new one."""
    ended = command(
        "study", "edit", finished, "--range", "learning_rate=1e-3:", "--range", "model.activation=1:2"
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "search.model.activation: must be a range to be edited (got choices: relu, tanh)" in ended.stderr
    words = (
        "learning_rate: 0.001 to 1e+06, logarithmic, from trial 12 on; 1e-07 to 1e+06, logarithmic, before"
    )
    ended = command("study", "edit", finished, "--range", "learning_rate=1e-3:", "--trials", "13")
    assert ended.stdout.startswith(f'Study "flowers": {words}\n')
    assert command("worker", "start", "--exit-when-idle", "--cohort", "2").returncode == 0
    assert f"\nEdited range: {words}.\n" in command("study", "show", finished).stdout
    (edit,) = shown(command, finished)["edited_ranges"]
    assert (edit["name"], edit["before"]["low"], edit["after"]["low"], edit["from_trial"]) == (
        "learning_rate",
        1e-7,
        1e-3,
        12,
    )
    trials = json.loads(command("study", "trials", finished, "--format", "json").stdout)
    assert trials[12]["params"]["learning_rate"] >= 1e-3
    assert command("report", finished, "--output", "r.html").returncode == 0
    page = Path("r.html").read_text()
    assert words in page
    assert "learning_rate = { low = 0.001," in page
