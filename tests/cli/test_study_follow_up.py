"""`hpsearch study confirm` and `study test`: they train once, and then print the stored results."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from hpsearch.storage.store import open_store
from tests.cli.terminal import Terminal

Command = Callable[..., CompletedProcess[str]]

SEALED = """
name = "sealed"
trials = 10
seed = 3
data = { source = "iris", test_fraction = 0.2 }

[training]
epochs = 3
batch_size = 20

[search]
learning_rate = { low = 1e-3, high = 1.0, log = true }
"""


@pytest.fixture
def sealed(command: Command) -> str:
    """Return the name of a finished study with a sealed test part."""
    Path("sealed.toml").write_text(SEALED)
    assert command("study", "create", "sealed.toml").returncode == 0
    assert (
        command("worker", "start", "--study", "sealed", "--exit-when-idle", "--cohort", "5").returncode == 0
    )
    return "sealed"


def shown(ended: CompletedProcess[str]) -> Any:
    """Return the JSON of a command."""
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_the_best_are_trained_again_once(command: Command, finished: str) -> None:
    """Each of the best is trained with each seed, and stored results are not trained again."""
    first = command("study", "confirm", finished, "--best", "2", "--seeds", "3")
    assert first.returncode == 0
    assert first.stderr.splitlines()[0] == "2 configurations, 3 fresh seeds: 6 trainings"
    head, *rows = first.stdout.splitlines()
    assert head.split("  ")[0] == "rank"
    assert [row.split()[0] for row in rows[:2]] == ["1", "2"]
    assert rows[2] == ""
    assert rows[3].startswith("Trial ")
    again = command("study", "confirm", finished, "--best", "2", "--seeds", "3")
    assert (again.stdout, again.stderr) == (first.stdout, "")
    more = command("study", "confirm", finished, "--best", "3", "--seeds", "4", "--format", "json")
    assert more.stderr.splitlines()[0] == "3 configurations, 4 fresh seeds: 6 trainings"
    found = shown(more)
    assert [one["rank"] for one in found] == [1, 2, 3]
    best = [
        t["number"] for t in shown(command("study", "best", finished, "--count", "3", "--format", "json"))
    ]
    assert sorted(one["number"] for one in found) == sorted(best)
    for one in found:
        values = [seed["value"] for seed in one["seeds"]]
        assert len(values) == 4
        assert one["mean"] == pytest.approx(sum(values) / 4)
        assert one["low"] <= one["mean"] <= one["high"]


def test_nothing_to_confirm_is_told(command: Command, study_file: Path) -> None:
    """A study without a complete trial has no best to confirm, and none to test."""
    assert command("study", "create", str(study_file)).returncode == 0
    ended = command("study", "confirm", "flowers")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "must have a complete trial with a finite result to confirm (got none)" in ended.stderr


def test_the_test_part_opens_once(command: Command, sealed: str) -> None:
    """The first call measures and records; later calls print the same, and train nothing."""
    before = shown(command("study", "show", sealed, "--format", "json"))
    assert before["test"] is None
    first = command("study", "test", sealed, "--seeds", "3", "--yes")
    assert first.returncode == 0
    best = before["best"]["number"]
    opening = f"for trial {best} by `hpsearch study test sealed --trial {best} --seeds 3`."
    assert first.stdout.splitlines()[1].startswith("Test accuracy: 0.")
    assert first.stdout.splitlines()[2].endswith(opening)
    again = command("study", "test", sealed)
    assert (again.returncode, again.stdout) == (0, first.stdout)
    assert again.stderr == "The test part was opened before; nothing is trained again\n"
    assert opening in command("study", "show", sealed).stdout
    assert opening in command("study", "best", sealed).stderr
    assert shown(command("study", "show", sealed, "--format", "json"))["test"]["number"] == best
    other = command("study", "test", sealed, "--trial", str(best + 1), "--yes")
    assert (other.returncode, other.stdout) == (1, "")
    assert f"--trial: must be {best}, for which the sealed test part was opened" in other.stderr
    found = shown(command("study", "test", sealed, "--format", "json"))
    assert (found["number"], len(found["seeds"])) == (best, 3)


def test_fresh_seeds_choose_what_is_tested(command: Command, sealed: str) -> None:
    """If configurations were confirmed, the best of those is tested, even if the search ranked another first."""
    searched = shown(command("study", "best", sealed, "--format", "json"))[0]["number"]
    ranks = shown(command("study", "confirm", sealed, "--best", "10", "--format", "json"))
    assert command("study", "test", sealed, "--yes").returncode == 0
    assert shown(command("study", "show", sealed, "--format", "json"))["test"]["number"] == ranks[0]["number"]
    assert ranks[0]["number"] != searched
    assert ranks[0]["number"] == shown(command("study", "best", sealed, "--format", "json"))[0]["number"]


def test_opening_wants_a_yes(command: Command, sealed: str) -> None:
    """Without a terminal to ask, nothing is opened without --yes."""
    ended = command("study", "test", sealed)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "which opens once: there is no terminal to confirm. Add --yes." in ended.stderr
    assert shown(command("study", "show", sealed, "--format", "json"))["test"] is None


def test_a_study_without_a_test_part_is_told(command: Command, finished: str) -> None:
    """Without a test part the remedy is printed, and nothing is recorded."""
    ended = command("study", "test", finished, "--yes")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert 'study "flowers": must have a sealed test part (got data.test_fraction = 0)' in ended.stderr
    assert shown(command("study", "show", finished, "--format", "json"))["test"] is None


def test_what_is_not_complete_is_not_tested(command: Command, sealed: str) -> None:
    """A trial that was stopped early cannot be tested; a missing one is reported."""
    assert command("study", "edit", sealed, "--trials", "40").returncode == 0
    assert command("worker", "start", "--study", sealed, "--exit-when-idle").returncode == 0
    pruned = shown(command("study", "trials", sealed, "--state", "pruned", "--format", "json"))[0]["number"]
    ended = command("study", "test", sealed, "--trial", str(pruned), "--yes")
    assert ended.returncode == 1
    assert f"(got {pruned}, whose fate is" in ended.stderr
    assert command("study", "test", sealed, "--trial", "400", "--yes").returncode == 1


def test_an_opening_elsewhere_is_warned_of(command: Command, sealed: str) -> None:
    """Another study on the same split whose test part was opened has spent this one's too."""
    assert command("study", "test", sealed, "--yes").returncode == 0
    assert command("study", "create", "sealed.toml", "--name", "second", "--trials", "2").returncode == 0
    assert command("worker", "start", "--study", "second", "--exit-when-idle").returncode == 0
    assert command("study", "edit", "second", "--trials", "30").returncode == 0
    ended = command("study", "test", "second", "--yes")
    assert ended.returncode == 0
    assert "Warning: the search is not finished (2 of 30 trials)" in ended.stderr
    assert 'Warning: study "sealed" opened the same test part on ' in ended.stderr


def test_an_opening_without_result_is_finished_for_its_trial(command: Command, sealed: str) -> None:
    """After a kill between opening and result the recorded configuration is finished, and no other is opened."""
    with open_store(f"sqlite:///{Path('default.db').resolve()}") as store:
        study = store.studies.get(sealed)
        numbers = [trial.number for trial in store.trials.all(study) if trial.is_ranked]
        store.evaluations.unseal(study, number=numbers[-1], command="what was killed")
    assert "it was stopped before the result" in command("study", "show", sealed).stdout
    refused = command("study", "test", sealed, "--trial", str(numbers[0]), "--yes")
    assert (refused.returncode, refused.stdout) == (1, "")
    ended = command("study", "test", sealed)
    assert ended.returncode == 0
    assert f"for trial {numbers[-1]} by `what was killed`." in ended.stdout


def test_an_opening_is_finished_with_its_seeds(command: Command, sealed: str) -> None:
    """A part that was opened for three seeds is measured with three, even if a later call gives another number."""
    with open_store(f"sqlite:///{Path('default.db').resolve()}") as store:
        study = store.studies.get(sealed)
        number = next(trial.number for trial in store.trials.all(study) if trial.is_ranked)
        store.evaluations.unseal(study, number=number, command="what was killed", seeds=3)
    ended = command("study", "test", sealed, "--seeds", "2", "--format", "json")
    assert ended.returncode == 0
    assert len(shown(ended)["seeds"]) == 3


def test_a_terminal_is_asked(command: Command, sealed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal a no leaves the part sealed, and a yes opens it."""
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    ended = command("study", "test", sealed)
    assert (ended.returncode, ended.stdout.strip()) == (1, "")
    assert 'Open the sealed test part of "sealed" for trial ' in ended.stderr
    assert shown(command("study", "show", sealed, "--format", "json"))["test"] is None
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert command("study", "test", sealed).returncode == 0
    assert shown(command("study", "show", sealed, "--format", "json"))["test"] is not None


def test_a_list_of_configurations_is_confirmed_and_not_narrowed(command: Command) -> None:
    """A study that trains each configuration several times confirms each once, and has nothing to narrow."""
    listed = "\n".join(f'[[configurations]]\nname = "{r}"\nlearning_rate = {r}' for r in (0.01, 0.1, 0.3))
    head = SEALED.partition("[search]")[0].replace("trials = 10", "trials = 9")
    Path("listed.toml").write_text(f"{head}\n{listed}\n")
    assert command("study", "create", "listed.toml", "--name", "listed").returncode == 0
    assert command("worker", "start", "--study", "listed", "--exit-when-idle").returncode == 0
    found = shown(command("study", "confirm", "listed", "--seeds", "2", "--format", "json"))
    assert sorted(one["params"]["learning_rate"] for one in found) == [0.01, 0.1, 0.3]
    ended = command("study", "narrow", "listed")
    assert ended.returncode == 1
    assert (
        "must search ranges or choices to be narrowed (got a list of 3 exact configurations)" in ended.stderr
    )
    ended = command("trial", "enqueue", "listed", "--set", "learning_rate=0.1")
    assert ended.returncode == 1
    assert "got a list of exact configurations" in ended.stderr
