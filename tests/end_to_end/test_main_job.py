"""The main job from a study file to its report, by real processes."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
import pytest

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Folder

FLOWERS = """
name = "flowers"
trials = 12
data = { source = "iris" }

[training]
epochs = 5
batch_size = 20

[search]
learning_rate = { low = 1e-6, high = 10.0, log = true }
weight_decay = { low = 1e-8, high = 1e-1, log = true }
"""


@pytest.fixture
def folder(make_folder: Callable[[Mapping[str, str]], "Folder"]) -> "Folder":
    """Return a folder with one study file in it."""
    return make_folder({"flowers.toml": FLOWERS})


def theirs(folder: "Folder", *arguments: str) -> Any:
    """Return the JSON of the stock `optuna` command."""
    program = shutil.which("optuna", path=str(Path(sys.executable).parent)) or shutil.which("optuna")
    assert program is not None
    command = [program, *arguments, "--storage", "sqlite:///storage/hpsearch.db", "-f", "json"]
    ended = subprocess.run(command, cwd=folder.path, capture_output=True, text=True, check=True)
    return json.loads(ended.stdout)


def test_a_study_runs_from_its_file_to_its_report(folder: "Folder") -> None:
    """One command makes the database, runs exactly the budget, prints the best, and writes the report."""
    ended = folder.run("study", "run", "flowers.toml", "--workers", "2")
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[0].startswith("flowers: Finished: 12 of 12 trials")
    best = [line for line in lines if line.startswith("Best-")]
    assert [line.split()[0] for line in best] == [f"Best-{rank}" for rank in range(1, len(best) + 1)]
    assert 1 <= len(best) <= 5
    form = r"Best-1 \(val acc [01]\.\d{3}\) \| learning_rate \S+, weight_decay \S+"
    assert re.fullmatch(form, best[0])
    assert "Report: storage/reports/flowers.html" in lines
    assert any(
        line.startswith("Dashboard: hpsearch dashboard --storage sqlite:///storage/hpsearch.db")
        for line in lines
    )
    page = (folder.path / "storage/reports/flowers.html").read_text()
    assert page.startswith("<!doctype html>")
    assert best[0] in page
    shown = folder.json("study", "show", "flowers")
    assert (shown["finished"], shown["running"], shown["waiting"], shown["state"]) == (12, 0, 0, "finished")
    assert sum(shown["ledger"].values()) == shown["epochs"]
    assert sorted(path.name for path in folder.path.iterdir()) == ["flowers.toml", "storage"]


def test_a_finished_study_shows_its_result_and_goes_on(folder: "Folder") -> None:
    """A second run reports that the study is finished; with a larger budget it continues to exactly that."""
    assert folder.run("study", "run", "flowers.toml", "--workers", "2").returncode == 0
    first = folder.results("flowers")
    again = folder.run("study", "run", "flowers.toml")
    assert again.returncode == 0
    assert "is finished" in again.stderr
    assert "Best-1 (val acc " in again.stdout
    assert folder.results("flowers") == first
    further = folder.run("study", "run", "flowers", "--trials", "15", "--workers", "2")
    assert further.returncode == 0
    assert folder.json("study", "show", "flowers")["finished"] == 15
    assert folder.results("flowers")[:12] == first
    lowered = folder.run("study", "run", "flowers", "--trials", "3")
    assert lowered.returncode == 0
    assert len(folder.results("flowers")) == 15


def test_a_database_elsewhere_holds_the_same_study(folder: "Folder") -> None:
    """`--storage` chooses the database; nothing is left where the command ran."""
    url = f"sqlite:///{folder.path / 'elsewhere' / 'x.db'}"
    assert folder.run("study", "run", "flowers.toml", "--storage", url, "--report", "r.html").returncode == 0
    assert folder.json("study", "show", "flowers", "--storage", url)["finished"] == 12
    assert sorted(path.name for path in folder.path.iterdir()) == ["elsewhere", "flowers.toml", "r.html"]


def test_stock_optuna_lists_the_same_trials(folder: "Folder") -> None:
    """The stock `optuna` command and `optuna.load_study` have the same trials, parameters and values."""
    assert folder.run("study", "run", "flowers.toml", "--workers", "2").returncode == 0
    ours = folder.json("study", "trials", "flowers")
    listed = theirs(folder, "trials", "--study-name", "flowers")
    assert [trial["number"] for trial in listed] == [trial["number"] for trial in ours]
    assert [trial["params"] for trial in listed] == [trial["params"] for trial in ours]
    storage = f"sqlite:///{folder.path / 'storage/hpsearch.db'}"
    loaded = optuna.load_study(study_name="flowers", storage=storage)
    assert [trial.params for trial in loaded.trials] == [trial["params"] for trial in ours]
    states = {"complete": optuna.trial.TrialState.COMPLETE, "pruned": optuna.trial.TrialState.PRUNED}
    assert [trial.state for trial in loaded.trials] == [states[trial["state"]] for trial in ours]
    best = folder.json("study", "best", "flowers", "--count", "1")[0]
    assert loaded.best_value == best["value"]


def test_a_study_in_which_all_diverge_says_why(make_folder: Callable[[Mapping[str, str]], "Folder"]) -> None:
    """If no trial completes, the budget is still spent, and the result is the cause and its remedy."""
    file = FLOWERS.replace("low = 1e-6, high = 10.0", "low = 1e8, high = 1e9")
    folder = make_folder({"flowers.toml": file})
    ended = folder.run("study", "run", "flowers.toml")
    assert ended.returncode == 0
    lines = ended.stdout.splitlines()
    assert lines[0].startswith("flowers: Finished: 12 of 12 trials")
    assert "No trial completed. 12 trials ended otherwise:" in lines
    assert any(line.startswith("Most common remedy (") for line in lines)
    assert not any(line.startswith("Best-") for line in lines)
