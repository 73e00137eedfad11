"""`hpsearch data` and `hpsearch storage`: listings in the same three formats."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

Command = Callable[..., CompletedProcess[str]]


def test_every_built_in_source_is_listed(command: Command) -> None:
    """`data list` has the design's sources in every format, and reads none of them."""
    listed = json.loads(command("data", "list", "--format", "json").stdout)
    names = [source["name"] for source in listed]
    assert names == ["digits", "breast_cancer", "wine", "iris", "diabetes", "mnist"]
    rows = csv.DictReader(io.StringIO(command("data", "list", "--format", "csv").stdout))
    assert [row["name"] for row in rows] == names
    assert [line.split()[0] for line in command("data", "list").stdout.splitlines()] == ["source", *names]


def test_a_source_is_described(command: Command) -> None:
    """`data show` prints the contents of a source, before split and scaling."""
    shown = json.loads(command("data", "show", "iris", "--format", "json").stdout)
    assert (shown["task"], shown["examples"], shown["inputs"], shown["outputs"]) == (
        "classification",
        150,
        4,
        3,
    )
    assert shown["classes"] == {"setosa": 50, "versicolor": 50, "virginica": 50}
    assert (shown["minimum"], shown["maximum"]) == (0.1, 7.9)
    table = command("data", "show", "iris").stdout
    assert "setosa (50), versicolor (50), virginica (50)" in table
    (row,) = csv.DictReader(io.StringIO(command("data", "show", "iris", "--format", "csv").stdout))
    assert row["classes.setosa"] == "50"


def test_a_file_is_described_by_its_target(command: Command) -> None:
    """`--target` names the column of a table to predict."""
    Path("x.csv").write_text(
        "size,kind,price\n" + "\n".join(f"{i},{'ab'[i % 2]},{i / 2}" for i in range(9)) + "\n"
    )
    Path("y.csv").write_text("kind,price\n" + "\n".join(f"{'ab'[i % 2]},{i / 2}" for i in range(9)) + "\n")
    shown = json.loads(command("data", "show", "y.csv", "--target", "kind", "--format", "json").stdout)
    assert (shown["task"], shown["features"], shown["classes"]) == (
        "classification",
        ["price"],
        {"a": 5, "b": 4},
    )
    assert json.loads(command("data", "show", "x.csv", "--format", "json").stdout)["task"] == "regression"


def test_what_needs_no_download_says_so(command: Command) -> None:
    """`data fetch` downloads no data that comes with scikit-learn, and names the known sources."""
    assert command("data", "fetch", "iris").stdout == "iris: nothing to fetch, it comes with scikit-learn\n"
    refused = command("data", "fetch", "mnits")
    assert refused.returncode == 2
    assert 'SOURCE: must be a built-in name (got "mnits")' in refused.stderr
    assert "mnist" in refused.stderr


def test_a_database_is_checked(command: Command, finished: str) -> None:
    """`storage check` prints the kind and the contents of the database."""
    health = json.loads(command("storage", "check", "--format", "json").stdout)
    assert (health["dialect"], health["studies"], health["trials"], health["foreign_studies"]) == (
        "sqlite",
        1,
        12,
        0,
    )
    assert health["round_trip_s"] < 1
    assert command("storage", "check").stdout.startswith("property")
    (row,) = csv.DictReader(io.StringIO(command("storage", "check", "--format", "csv").stdout))
    assert row["studies"] == "1"


def test_the_columns_of_a_table_are_shown(command: Command) -> None:
    """`data show` prints every column of a table: its kind, missing and different values, and its use."""
    rows = (f"{i},{20 + i % 40},{'mf'[i % 2]},2024-01-{i % 28 + 1:02},{i / 4},{i % 2}" for i in range(60))
    Path("t.csv").write_text(",age,sex,day,fare,survived\n" + "\n".join(rows) + "\n")
    shown = command("data", "show", "t.csv", "--drop", "sex", "--drop", "day")
    assert shown.returncode == 0
    lines = [" ".join(line.split()) for line in shown.stdout.splitlines()]
    assert lines[lines.index("") + 1 :] == [
        "column kind missing distinct values use",
        "Unnamed: 0 identifier 60 0 to 59 left out: numbers the rows",
        "age whole number 40 20 to 59 input",
        "sex category 2 m (30), f (30) left out: data.drop",
        "day date 28 2024-01-01 (3), 2024-01-02 (3), 2024-01-03 (3) left out: data.drop",
        "fare number 60 0 to 14.75 input",
        "survived yes/no 2 0 to 1 target",
    ]
    assert 'note data.drop: column "Unnamed: 0" has no name' in "\n".join(lines)
    item = json.loads(
        command("data", "show", "t.csv", "--drop", "sex", "--drop", "day", "--format", "json").stdout
    )
    assert [column["name"] for column in item["columns"]][1:] == ["age", "sex", "day", "fare", "survived"]
    assert item["columns"][1] == {
        "name": "age",
        "kind": "whole number",
        "rows": 60,
        "missing": 0,
        "distinct": 40,
        "minimum": 20.0,
        "maximum": 59.0,
        "top": [],
        "use": "input",
    }
    assert len(item["notes"]) == 1


def test_the_columns_of_a_table_with_problems_are_shown(command: Command) -> None:
    """A table that cannot be used is shown by its columns, and then refused with all its problems."""
    rows = (f"{i % 9 or ''},{'mf'[i % 2]},${i},{i % 2}" for i in range(30))
    Path("t.csv").write_text("age,sex,fare,survived\n" + "\n".join(rows) + "\n")
    shown = command("data", "show", "t.csv")
    assert shown.returncode == 1
    assert shown.stderr.startswith('Error: t.csv: line 2, column "fare": inputs must be numbers in digits')
    uses = [line.split("  ")[-1].strip() for line in shown.stdout.splitlines()]
    assert uses == [
        "use",
        "input, 4 missing: the median, and an indicator",
        "one input per category",
        'problem: write 0, or leave it out with data.drop = ["fare"]',
        "target",
    ]
    item = json.loads(command("data", "show", "t.csv", "--format", "json").stdout)
    assert item["problem"].startswith('t.csv: line 2, column "fare"')
    assert [column["missing"] for column in item["columns"]] == [4, 0, 0, 0]


def test_a_plan_has_the_use_of_every_column(command: Command) -> None:
    """`study create --dry-run` prints each column of a table of mixed kinds, and warns of what is left out."""
    rows = (f"{i},{i % 9 or ''},{'mf'[i % 2]},2024-01-{i % 28 + 1:02},{i % 2}" for i in range(200))
    Path("t.csv").write_text("id,age,sex,day,survived\n" + "\n".join(rows) + "\n")
    Path("x.toml").write_text('name = "x"\n[data]\nsource = "t.csv"\n[data.columns]\nday = "category"\n')
    planned = command("study", "create", "x.toml", "--dry-run")
    assert [line.split("  ")[-1].strip() for line in planned.stdout.splitlines() if line[:6] == "column"] == [
        "id (identifier): left out: counts the rows, from 0 to 199",
        "age (whole number): input, 23 missing: the median, and an indicator",
        "sex (category): one input per category",
        "day (category): one input per category",
    ]
    assert planned.stderr.startswith('Warning: data.columns: column "id" counts the rows, from 0 to 199')
    Path("x.toml").write_text('name = "x"\n[data]\nsource = "t.csv"\n[data.columns]\nsecks = "category"\n')
    refused = command("study", "create", "x.toml", "--dry-run")
    assert refused.returncode == 1
    assert 'data.columns: must name inputs of the table (got "secks")' in refused.stderr


def test_decisions_about_data_are_warnings(command: Command) -> None:
    """`study create --dry-run` prints the task, and warns of what was decided about the table."""
    rows = (f"{i},{i * 7 % 11},{i * i % 97 + i}" for i in range(200))
    Path("t.csv").write_text(",a,rides\n" + "\n".join(rows) + "\n")
    Path("x.toml").write_text('name = "x"\ndata = { source = "t.csv", scale = "standard" }\n')
    planned = command("study", "create", "x.toml", "--dry-run")
    assert planned.returncode == 0
    assert "task                  regression" in planned.stdout.splitlines()
    first, second, *_ = planned.stderr.splitlines()
    assert first.startswith('Warning: data.drop: column "Unnamed: 0" has no name and numbers the rows')
    assert second.startswith("Warning: data.task: targets are numbers (regression), because ")
    Path("x.toml").write_text('name = "x"\ndata = { source = "t.csv", task = "classification", drop = [] }\n')
    planned = command("study", "create", "x.toml", "--dry-run")
    assert "2 inputs" in planned.stdout
    assert "task                  classification, " in planned.stdout
