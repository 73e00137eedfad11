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
    assert command("data", "show", "x.csv").returncode == 1


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
