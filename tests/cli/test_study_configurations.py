"""Studies of exact configurations on the command line."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.report.synthetic import drawings_of

Command = Callable[..., CompletedProcess[str]]

TEXT = """
name = "exact"
seeds = 3
data.source = "iris"
training.epochs = 2
training.batch_size = 20

[[configurations]]
name = "ReLU, 0.05"
learning_rate = 0.05

[[configurations]]
name = "never finite"
learning_rate = 1e12

[[configurations]]
model.initializer = { normal = 0.0 }
"""


@pytest.fixture
def exact_file() -> Path:
    """Return a study file of three configurations in the current folder."""
    path = Path("exact.toml")
    path.write_text(TEXT)
    return path


@pytest.fixture
def exact(command: Command, exact_file: Path) -> str:
    """Return the name of the study, run to its end in the default database."""
    assert command("study", "create", str(exact_file)).returncode == 0
    assert command("worker", "start", "--study", "exact", "--exit-when-idle").returncode == 0
    return "exact"


def test_a_dry_run_lists_the_configurations(command: Command, exact_file: Path) -> None:
    """The dry run prints the number of trials and each configuration's settings, and warns by its name."""
    ended = command("study", "create", str(exact_file), "--dry-run")
    lines = [line.split(maxsplit=1) for line in ended.stdout.splitlines()]
    assert ["trials", "9"] in lines
    assert [value for name, value in lines if name == "configuration"] == [
        "ReLU, 0.05: learning_rate 0.05",
        "never finite: learning_rate 1000000000000.0",
        'model.initializer {"normal": 0.0}',
    ]
    assert not [value for name, value in lines if name == "search"]
    (warning,) = [line for line in ended.stderr.splitlines() if "symmetric_init" in line]
    assert """in "model.initializer {"normal": 0.0}": """ in warning


def test_configurations_are_listed_over_their_seeds(command: Command, exact: str) -> None:
    """Each has its mean, its interval and the verdicts of its three trials; the best mean comes first."""
    rows = json.loads(command("study", "configurations", exact, "--format", "json").stdout)
    assert {row["name"] for row in rows} == {
        "ReLU, 0.05",
        "never finite",
        'model.initializer {"normal": 0.0}',
    }
    assert [row["ended"] for row in rows] == [3, 3, 3]
    first = rows[0]
    assert (first["name"], first["params"]) == ("ReLU, 0.05", {"learning_rate": 0.05})
    assert first["mean"] == pytest.approx(sum(first["values"]) / 3)
    low, high = first["interval"]
    assert 0 <= low < first["mean"] < high <= 1
    (lost,) = [row for row in rows if row["name"] == "never finite"]
    assert (lost["mean"], lost["interval"], lost["values"]) == (None, None, [])
    assert sum(lost["verdicts"].values()) == 3
    means = [row["mean"] for row in rows if row["mean"] is not None]
    assert means == sorted(means, reverse=True)


def test_trials_go_by_the_name_of_their_configuration(command: Command, exact: str) -> None:
    """The best, the list of trials, a single trial and the overview all name it."""
    assert "ReLU, 0.05" in command("study", "best", exact, "--count", "1").stdout
    listed = command("study", "trials", exact, "--format", "table").stdout
    assert listed.count("never finite") == 3
    assert "never finite" in command("trial", "show", exact, "4").stdout
    shown = command("study", "show", exact).stdout
    assert "95 % interval" in shown
    assert "Best so far: trial" in shown
    summary = json.loads(command("study", "show", exact, "--format", "json").stdout)
    assert [row["ended"] for row in summary["configurations"]] == [3, 3, 3]


def test_the_report_names_configurations(command: Command, exact: str) -> None:
    """The page has their table, and their names where a trial is described."""
    assert command("report", exact, "--output", "exact.html").returncode == 0
    page = Path("exact.html").read_text()
    assert "Each configuration over its trials" in page
    assert "configuration: never finite" in drawings_of(page)
    assert "[[configurations]]" in page


def test_the_budget_can_be_raised(command: Command, exact: str) -> None:
    """More trials are more seeds of every configuration."""
    assert command("study", "edit", exact, "--trials", "12").returncode == 0
    assert command("worker", "start", "--study", exact, "--exit-when-idle").returncode == 0
    rows = json.loads(command("study", "configurations", exact, "--format", "json").stdout)
    assert [row["ended"] for row in rows] == [4, 4, 4]


def test_a_study_that_searches_has_no_configurations(command: Command, finished: str) -> None:
    """Its listing is a message with the command to use instead, without an empty table; for programs it is empty."""
    ended = command("study", "configurations", finished)
    assert (ended.returncode, ended.stdout) == (0, "")
    assert ended.stderr == (
        'Study "flowers" has a search space, not a list of [[configurations]]. '
        "List its best trials: hpsearch study best flowers\n"
    )
    assert json.loads(command("study", "configurations", finished, "--format", "json").stdout) == []
    csv = command("study", "configurations", finished, "--format", "csv").stdout
    assert csv.startswith("name,params,mean")


def test_diagnose_takes_one_of_them(command: Command, exact_file: Path) -> None:
    """By name or place it is trained, and the remedy's command names it too; without a choice the list is shown."""
    ended = command("diagnose", str(exact_file))
    assert ended.returncode == 2
    assert "\n  0  ReLU, 0.05\n  1  never finite\n" in ended.stderr
    named = command("diagnose", str(exact_file), "--configuration", "never finite")
    assert named.returncode == 0
    assert named.stdout == command("diagnose", str(exact_file), "--configuration", "1").stdout.replace(
        "--configuration 1", "--configuration 'never finite'"
    )
    assert "--configuration 'never finite' --set" in named.stdout


def test_a_setting_wins_over_the_configuration(command: Command, exact_file: Path) -> None:
    """Values of `--set` replace those of the configuration."""
    ended = command(
        "diagnose", str(exact_file), "--configuration", "1", "--set", "learning_rate=0.05", "--format", "json"
    )
    assert json.loads(ended.stdout)["validation_loss"] is not None
