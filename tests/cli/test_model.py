"""`hpsearch model`: from a study to a file, and from a table to predictions."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from hpsearch.model.archive import read_model

Command = Callable[..., CompletedProcess[str]]

ROWS = "5.1,3.5,1.4,0.2\n6.7,3.0,5.2,2.3\n"


@pytest.fixture
def model(command: Command, finished: str) -> str:
    """Return the file of the best trial's model."""
    assert command("model", "export", finished, "--output", "flowers.npz").returncode == 0
    return "flowers.npz"


def best_of(command: Command, study: str) -> Any:
    """Return the best trial as JSON."""
    return json.loads(command("study", "best", study, "--count", "1", "--format", "json").stdout)[0]


def test_the_best_trial_is_exported_by_default(command: Command, finished: str) -> None:
    """The command prints the check, the file with its value, and the next command."""
    best = best_of(command, finished)
    ended = command("model", "export", finished, "--output", "flowers.npz")
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    assert lines[0].startswith(
        f"flowers: trial {best['number']}: bit-identical to the stored curve: 3 epochs"
    )
    assert lines[1] == f"Model: flowers.npz (val acc {best['value']:.3f})"
    assert lines[2] == "Next: hpsearch model predict flowers.npz new.csv"
    found = read_model(Path("flowers.npz"))
    assert (found.trial, found.value, found.params) == (best["number"], best["value"], best["params"])


def test_a_trial_can_be_chosen(command: Command, finished: str) -> None:
    """`--trial` exports another complete trial, and JSON describes it for programs."""
    trials = json.loads(command("study", "trials", finished, "--format", "json").stdout)
    other = next(
        trial["number"]
        for trial in trials
        if trial["state"] == "complete" and trial["number"] != best_of(command, finished)["number"]
    )
    ended = command(
        "model", "export", finished, "--trial", str(other), "--output", "other.npz", "--format", "json"
    )
    shown = json.loads(ended.stdout)
    assert (shown["path"], shown["trial"], shown["verified"]) == ("other.npz", other, True)
    assert shown["value"] == shown["stored_value"] == shown["validation_accuracy"]


def test_a_model_of_all_examples_says_so(command: Command, finished: str) -> None:
    """`--on all` exports the weights of a training on both parts, with the results of the search."""
    ended = command("model", "export", finished, "--on", "all", "--output", "all.npz", "--format", "json")
    shown = json.loads(ended.stdout)
    assert (shown["trained_on"], shown["value"]) == ("all", best_of(command, finished)["value"])
    table = command("model", "show", "all.npz").stdout
    assert (
        "training and validation part, 150 examples; the results are of a training on the first alone"
        in table
    )


def test_a_pruned_trial_needs_an_option(command: Command, finished: str) -> None:
    """A trial that was stopped is refused, with the option that allows it."""
    trials = json.loads(command("study", "trials", finished, "--format", "json").stdout)
    pruned = next(t["number"] for t in trials if t["state"] == "pruned" and t["epochs"] > 1)
    arguments = ("model", "export", finished, "--trial", str(pruned), "--output", "pruned.npz")
    ended = command(*arguments)
    assert ended.returncode == 1
    assert f"trial {pruned}: must be complete to have a model" in ended.stderr
    assert not Path("pruned.npz").exists()
    assert command(*arguments, "--allow-pruned").returncode == 0
    assert read_model(Path("pruned.npz")).trial == pruned


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ("flowers", "--output", "m.h5"),
            2,
            '--output: must end in .npz or .onnx or .joblib, the formats of models (got "m.h5")',
        ),
        (("flowers", "--output", "none/m.npz"), 1, "--output: its folder must exist (got none)"),
        (("flowers", "--output", "m.npz", "--trial", "99"), 1, "99"),
        (("flower", "--output", "m.npz"), 1, 'study "flower": there is no such study'),
    ],
)
def test_exports_that_are_impossible_are_refused(
    arguments: tuple[str, ...], code: int, message: str, command: Command, finished: str
) -> None:
    """The error names the option, the value and a remedy, and no file is written."""
    ended = command("model", "export", *arguments)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert message in ended.stderr
    assert list(Path().glob("**/*.npz")) == []


def test_a_study_without_results_has_no_model(command: Command, study_file: Path) -> None:
    """Without a complete trial, the error names the command that runs the study."""
    command("study", "create", str(study_file))
    ended = command("model", "export", "flowers", "--output", "m.npz")
    assert ended.returncode == 1
    assert "must have a complete trial with a finite result to export (got none)" in ended.stderr
    assert "hpsearch study run flowers" in ended.stderr


def test_predictions_go_to_stdout(command: Command, model: str) -> None:
    """Each row is followed by its prediction and, if asked for, the probability of each class."""
    Path("new.csv").write_text(ROWS)
    ended = command("model", "predict", model, "new.csv")
    assert (ended.returncode, ended.stderr) == (0, "")
    rows = list(csv.reader(io.StringIO(ended.stdout)))
    assert rows[0] == ["1", "2", "3", "4", "prediction"]
    assert [row[:4] for row in rows[1:]] == [line.split(",") for line in ROWS.splitlines()]
    assert rows[1][4] == "setosa"
    shares = list(
        csv.DictReader(io.StringIO(command("model", "predict", model, "new.csv", "--probabilities").stdout))
    )
    for row, plain in zip(shares, rows[1:], strict=True):
        numbers = {
            name.removeprefix("probability_"): float(row[name]) for name in row if "probability" in name
        }
        assert sum(numbers.values()) == pytest.approx(1)
        assert max(numbers, key=lambda name: numbers[name]) == plain[4]


def test_predictions_go_to_a_file(command: Command, model: str) -> None:
    """`--output` writes the file whole, or not at all if the table has problems."""
    Path("new.csv").write_text(ROWS)
    ended = command("model", "predict", model, "new.csv", "--output", "out.csv")
    assert (ended.returncode, ended.stdout) == (0, "out.csv: 2 rows with predictions\n")
    assert Path("out.csv").read_text() == command("model", "predict", model, "new.csv").stdout
    before = Path("out.csv").read_text()
    Path("new.csv").write_text(f"{ROWS}1,2,three,4\n")
    ended = command("model", "predict", model, "new.csv", "--output", "out.csv")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(
        'Error: new.csv: line 3, column 3: inputs must be numbers, as in the study (got "three")'
    )
    assert Path("out.csv").read_text() == before
    assert command("model", "predict", model, "new.csv").stdout == ""
    assert list(Path().glob(".hpsearch-*")) == []


def test_a_raw_table_becomes_predictions_in_three_commands(command: Command) -> None:
    """Text, missing numbers, a date and an identifier: `study run`, `model export`, `model predict`."""
    rows = [
        f"C{i},{'' if i % 9 == 0 else 20 + i % 50},{['Oslo', 'Rome', ''][i % 3]},2024-{i % 12 + 1:02}-01,{'ab'[i % 2]}"
        for i in range(300)
    ]
    Path("raw.csv").write_text("\n".join(["customer,age,city,joined,label", *rows, ""]))
    Path("raw.toml").write_text(
        'name = "raw"\ntrials = 1\ndata = { source = "raw.csv" }\ntraining = { epochs = 2 }\n'
        "pruning = { diagnosis = false }\n"
    )
    assert command("study", "run", "raw.toml", "--workers", "1").returncode == 0
    assert command("model", "export", "raw", "--output", "raw.npz").returncode == 0
    Path("new.csv").write_text("city,age,joined\nParis,,2024-05-01\nRome,30,\n")
    ended = command("model", "predict", "raw.npz", "new.csv")
    assert ended.returncode == 0
    assert [line.rsplit(",", 1)[0] for line in ended.stdout.splitlines()] == [
        *("city,age,joined", "Paris,,2024-05-01", "Rome,30,"),
    ]
    assert ended.stderr.splitlines() == [
        "Categories that the training part does not have, counted as rare ones (rows): city (1)"
    ]


def test_columns_without_a_use_are_reported(command: Command, study_file: Path) -> None:
    """Columns of the table that are no inputs are named on stderr."""
    lines = [f"{i},{i % 3},{'ab'[i % 2]}" for i in range(60)]
    Path("data.csv").write_text("\n".join(["x,y,kind", *lines]))
    study_file.write_text(study_file.read_text().replace('"iris"', '"data.csv"'))
    assert command("study", "create", str(study_file)).returncode == 0
    command("worker", "start", "--study", "flowers", "--exit-when-idle")
    assert command("model", "export", "flowers", "--output", "m.npz").returncode == 0
    ended = command("model", "predict", "m.npz", "data.csv")
    assert ended.stderr == "Ignored: 1 column is no input of the model: kind\n"
    assert len(ended.stdout.splitlines()) == 61


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("none.npz", "new.csv"), 1, "none.npz: the model must exist (got no file): correct the path"),
        (("new.csv", "new.csv"), 1, "new.csv: must be a whole model file of hpsearch"),
        (("flowers.npz", "none.csv"), 1, "none.csv: the table must exist (got no file): correct the path"),
        (
            ("flowers.npz", "new.csv", "--output", "new.csv"),
            2,
            "--output: must be another file than the table",
        ),
        (("flowers.npz", "new.csv", "--output", "no/new.csv"), 1, "--output: its folder must exist (got no)"),
    ],
)
def test_predictions_that_are_impossible_are_refused(
    arguments: tuple[str, ...], code: int, message: str, command: Command, model: str
) -> None:
    """The error names the file or option, the value and a remedy."""
    Path("new.csv").write_text(ROWS)
    ended = command("model", "predict", *arguments)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert message in ended.stderr
    assert Path("new.csv").read_text() == ROWS


def test_a_model_is_described(command: Command, model: str) -> None:
    """People get a table or a model card, programs get JSON; all need no database."""
    Path("default.db").unlink()
    shown = json.loads(command("model", "show", model, "--format", "json").stdout)
    assert (shown["study"], shown["task"], shown["inputs"]) == ("flowers", "classification", 4)
    table = command("model", "show", model).stdout
    assert "verified             bit-identical to the stored trial" in table
    assert f"validation accuracy  {shown['value']:.3f}" in table
    card = command("model", "show", model, "--format", "markdown").stdout
    assert card.startswith(f"# Model of flowers, trial {shown['trial']}\n")
    assert "| classes | setosa, versicolor, virginica |" in card
    assert command("model", "show", model, "--card").stdout == card


@pytest.mark.parametrize(
    ("name", "last"),
    [
        (
            "flowers.onnx",
            "Next: onnxruntime.InferenceSession(PATH); its predictions equal those of the model",
        ),
        (
            "flowers.joblib",
            "Next: joblib.load(PATH).predict(X). Loading a .joblib file executes code: share it as .npz",
        ),
    ],
)
def test_the_ending_of_the_output_is_the_format(
    name: str, last: str, command: Command, finished: str
) -> None:
    """Files for other programs are written too; our own commands do not read them."""
    ended = command("model", "export", finished, "--output", name)
    assert (ended.returncode, ended.stdout.splitlines()[-1]) == (0, last)
    shown = command("model", "show", name)
    assert shown.returncode == 1
    assert f"{name}: must be a model in .npz (got {Path(name).suffix})" in shown.stderr
