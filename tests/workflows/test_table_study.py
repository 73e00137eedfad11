"""Study files that are written for a table."""

from pathlib import Path

import numpy as np
import pytest

from hpsearch.errors import DataError, UsageError
from hpsearch.study.reader import read_study
from hpsearch.worker.preparation import prepare_file
from hpsearch.workflows.table_study import write_table_study


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def visits(path: Path, *, rows: int = 120) -> None:
    """Write a table with a customer, a date, text, two numbers and a price."""
    generator = np.random.default_rng(1)
    lines = ["customer_id,day,note,a,b,price"]
    for row in range(rows):
        a, b = generator.normal(size=2)
        lines.append(f"k{row // 6},2024-01-{row % 28 + 1:02},text {row},{a:.4f},{b:.4f},{a + 2 * b:.4f}")
    path.write_text("\n".join(lines) + "\n")


def test_a_study_file_for_a_table_works_as_it_is(folder: Path) -> None:
    """The file can be created as it is: columns that are no inputs are left out, with the reason in a comment."""
    visits(folder / "visits.csv")
    written = write_table_study(Path("visits.csv"))
    assert written.problems == ()
    assert written.decisions[0] == "target: price, the last column"
    study = prepare_file(written.path)
    assert (study.spec.name, study.spec.data.task) == ("visits", "regression")
    assert study.spec.metric != "auto"
    assert study.data.preprocessing.raw_features == ("customer_id", "day", "a", "b")
    assert study.data.notes == ()
    assert study.spec.training.batch_size == 8
    text = written.path.read_text()
    for line in ('# group = "customer_id"  # keeps', '# time = "day"  # validates', "#   a: number, "):
        assert line in text
    lines = {
        line.split()[1]: line.rpartition("; ")[2] for line in text.splitlines() if line.startswith("#   ")
    }
    assert lines == {
        "customer_id:": "one input per category",
        "day:": "year, month, day and weekday",
        "note:": "left out: has a different text in every one of 120 rows",
        "a:": "input",
        "b:": "input",
        "price:": "target",
    }


def test_a_table_without_a_header_has_no_name_of_its_target(folder: Path) -> None:
    """Its target is the last column, and the file can be created as it is."""
    (folder / "t.csv").write_text("".join(f"{i / 7:.3f},{i % 5},{'ab'[i % 2]}\n" for i in range(60)))
    written = write_table_study(Path("t.csv"))
    assert (written.problems, written.decisions[0]) == ((), "target: 3, the last column")
    assert "# The target is the last column: the table has no header.\n" in written.path.read_text()
    assert prepare_file(written.path).data.classes == ("a", "b")


def test_the_target_is_named_or_chosen(folder: Path) -> None:
    """A column named as a target is the target, unless another one is chosen; one that does not exist is refused."""
    table = folder / "t.csv"
    table.write_text("label,x,z\n" + "".join(f"{'ab'[i % 2]},{i},{i % 7}.5\n" for i in range(60)))
    by_name = write_table_study(table)
    spec = read_study(by_name.path)
    assert (spec.data.target, spec.data.task, spec.data.stratify) == ("label", "classification", True)
    chosen = write_table_study(table, target="z", output=folder / "z.toml")
    assert read_study(chosen.path).data.target == "z"
    assert "regression" in chosen.path.read_text()
    with pytest.raises((UsageError, DataError), match="lable"):
        write_table_study(table, target="lable", output=folder / "no.toml")
    assert not (folder / "no.toml").exists()


def test_an_existing_file_is_kept(folder: Path) -> None:
    """A file is replaced only if that is asked for."""
    visits(folder / "visits.csv")
    path = folder / "visits.toml"
    path.write_text("mine")
    with pytest.raises(UsageError, match="add --force"):
        write_table_study(folder / "visits.csv")
    assert path.read_text() == "mine"
    write_table_study(folder / "visits.csv", force=True)
    assert path.read_text() != "mine"


def test_problems_of_the_table_are_comments(folder: Path) -> None:
    """A table that cannot be used yet gets a file that names the problem and its remedy."""
    table = folder / "t.csv"
    table.write_text("x,y\n" + "".join(f"{i}.5,{'' if i == 3 else 'ab'[i % 2]}\n" for i in range(40)))
    written = write_table_study(table)
    assert len(written.problems) == 1
    assert "a target is missing" in written.problems[0]
    assert "#   " + written.problems[0].splitlines()[0] in written.path.read_text()
    assert read_study(written.path).name == "t"


def test_names_cannot_break_the_file(folder: Path) -> None:
    """Names of columns with quotes and hashes stay names."""
    table = folder / "t.csv"
    table.write_text('"a ""b"" # c",y\n' + "".join(f"{i}.5,{'ab'[i % 2]}\n" for i in range(40)))
    written = write_table_study(table, output=folder / "below.toml")
    assert prepare_file(written.path).data.preprocessing.features == ('a "b" # c',)


def test_only_tables_have_columns(folder: Path) -> None:
    """Another file is refused."""
    with pytest.raises(DataError, match="must be a table in a file"):
        write_table_study(folder / "missing.csv")
