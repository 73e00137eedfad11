"""The kinds of columns, and their use."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from hpsearch.data.dataset import Dataset
from hpsearch.data.encoding import InputColumn
from hpsearch.data.sources import load
from hpsearch.data.table import TableReading
from hpsearch.study.spec import ColumnRule

Refused = Callable[[Callable[[], object]], str]


def loaded(cells: Iterable[object], *rules: ColumnRule, rows: int = 120) -> Dataset:
    """Return the data set of a table with a column `x` of these cells, repeated, a number `a` and a target."""
    values = list(cells)
    lines = [f"{values[i % len(values)]},{i % 7 / 2},{'uv'[i % 2]}" for i in range(rows)]
    Path("t.csv").write_text("\n".join(["x,a,y", *lines, ""]), encoding="utf-8")
    return load("t.csv", reading=TableReading(columns=rules), environment=os.environ)


def use(data: Dataset) -> tuple[str, str]:
    """Return kind and use of the column `x`."""
    found = next(use for use in data.uses if use.name == "x")
    return found.kind, found.use


@pytest.mark.parametrize(
    ("cells", "kind", "words"),
    [
        (range(1, 5), "whole number", "input"),
        ([0.5, 1, 2], "number", "input"),
        ([0, 1], "yes/no", "input"),
        ([0.5, "", 2], "number", "input, 40 missing: the median, and an indicator"),
        (["red", "green"], "category", "one input per category"),
        (["red", "?"], "category", "one input per category, 60 missing: a category of their own"),
        (["Yes", "no"], "yes/no", "one input per category"),
        (["a4", "5", "6"], "category", "one input per category"),
        (["2024-01-31", "2024-05-06 13:00"], "date", "year, month, day, weekday and hour"),
        (
            ["31.1.2024", "NA"],
            "date",
            "year, month, day and weekday, 60 missing: the medians, and an indicator",
        ),
        (["", "NA"], "empty", "left out: is empty"),
        (["same"], "constant", "left out: has the same text in all 120 rows"),
        (
            [f"C{i}" for i in range(120)],
            "identifier",
            "left out: has a different text in every one of 120 rows",
        ),
        (
            [f"we liked it {i} times" for i in range(120)],
            "text",
            "left out: is free text, with 120 different texts in 120 rows",
        ),
        (
            [f"C{i}" for i in range(60)],
            "text",
            "left out: is free text, with 60 different texts in 120 rows",
        ),
    ],
)
def test_kinds_follow_from_the_cells(cells: Iterable[object], kind: str, words: str) -> None:
    """Each kind has its use, and what is left out has a note with the remedy."""
    data = loaded(cells)
    assert use(data) == (kind, words)
    is_left_out = words.startswith("left out: ")
    assert ("x" in data.features) != is_left_out
    notes = [note for note in data.notes if note.startswith('data.columns: column "x"')]
    assert len(notes) == is_left_out
    assert all("under [data.columns] keeps it" in note for note in notes)


def test_a_constant_number_is_left_out_of_a_mixed_table_only() -> None:
    """In a table of complete numbers it stays, so that studies of such tables keep their networks."""
    rows = "\n".join(f"7,{'mf'[i % 2]},{i % 5},{i % 2}" for i in range(60))
    Path("t.csv").write_text(f"x,sex,a,y\n{rows}\n")
    assert load("t.csv", environment={}).features == ("sex", "a")
    plain = load("t.csv", reading=TableReading(drop=("sex",)), environment={})
    assert (plain.features, plain.columns) == (("x", "a"), ())


def test_categories_are_sorted_and_coded() -> None:
    """Codes are places in the sorted texts, whatever the order of the rows; spaces around cells do not count."""
    data = loaded(["b", " a ", "", "a"])
    assert data.columns[0] == InputColumn(name="x", kind="category", categories=("a", "b"))
    np.testing.assert_array_equal(data.inputs[:4, 0], [1, 0, np.nan, 0])


def test_the_study_decides_about_single_columns(refused: Refused) -> None:
    """A rule overrides the kind that the cells suggest, and its keys reach the encoding."""
    zips = loaded(["0123", "4567"], ColumnRule(name="x", kind="category", encoding="target"))
    assert zips.columns[0] == InputColumn(
        name="x", kind="category", categories=("0123", "4567"), encoding="target"
    )
    assert loaded(["a", "b"], ColumnRule(name="x", kind="drop")).features == ("a",)
    assert loaded([f"C{i}" for i in range(120)], ColumnRule(name="x", kind="category")).features == ("x", "a")
    logs = loaded([1, 10], ColumnRule(name="x", kind="number", transform="log"))
    assert logs.columns[0] == InputColumn(name="x", transform="log")
    assert use(logs) == ("whole number", "input, its logarithm")
    assert refused(lambda: loaded(["a", "b"], ColumnRule(name="x", kind="number"))).startswith(
        't.csv: line 2, column "x": inputs must be numbers (got "a"; 120 such in all)'
    )
    assert refused(lambda: loaded(["2024-01-01", "soon"], ColumnRule(name="x", kind="date"))) == (
        't.csv: line 3, column "x": must be dates (got "soon"; 60 such in all): write 2024-01-31 or 2024-01-31 13:30'
    )
    assert refused(lambda: loaded([1, 2], ColumnRule(name="ax", kind="drop"))).startswith(
        't.csv: data.columns: must name inputs of the table (got "ax"): '
    )


def test_marks_among_many_numbers_are_refused(refused: Refused) -> None:
    """A mark for missing numbers makes a column no category: the error has the ways to decide."""
    cells = [*range(100), *["unknown"] * 20]
    assert refused(lambda: loaded(cells)) == (
        't.csv: line 102, column "x": inputs must be numbers, as 100 are (got "unknown"; 20 such in all):'
        " correct it, leave the cell empty if it is missing, or drop the row,"
        ' or make it a category with x = "category" under [data.columns]'
    )


def test_marks_among_decimal_commas_are_refused_as_such(refused: Refused) -> None:
    """In a table with decimal commas `2,5` is a number: the problem is the mark, not the comma."""
    lines = [f"{i},5;{f'{i},25' if i % 12 else 'n.b.'};{i},75" for i in range(120)]
    Path("t.csv").write_text("\n".join(["a;x;y", *lines, ""]), encoding="utf-8")
    assert refused(lambda: load("t.csv", reading=TableReading(), environment=os.environ)).startswith(
        't.csv: line 2, column "x": inputs must be numbers, as 110 are (got "n.b."; 10 such in all): correct it,'
    )


def test_numbers_with_a_unit_are_no_identifiers(refused: Refused) -> None:
    """A column of measures is refused instead of left out, and a code whose letters differ is an identifier."""
    assert refused(lambda: loaded([f"{i}.5km" for i in range(120)])) == (
        't.csv: line 2, column "x": inputs must be numbers without a unit (got "0.5km"; 120 different such in all)'
        ': write 0.5, or leave it out with data.drop = ["x"]'
    )
    assert use(loaded([f"{i}{'AB'[i % 2]}" for i in range(120)]))[0] == "identifier"


def test_dates_of_an_unclear_order_have_a_note() -> None:
    """They are read as month/day/year, with a note; a day above 12 makes it clear."""
    (note,) = loaded(["1/2/2024", "3/4/2024"]).notes
    assert 'column "x" was read as month/day/year (got "1/2/2024")' in note
    clear = loaded(["1/2/2024", "13/4/2024"])
    assert clear.notes == ()
    assert clear.columns[0].day_first


def test_text_that_begins_late_makes_a_column_one_of_text() -> None:
    """The first rows may be numbers: if too many other cells follow, the file is read again."""
    data = loaded([*(str(i % 9) for i in range(2500)), *["b"] * 500], rows=3000)
    assert use(data)[0] == "category"
    assert data.columns[0].categories == (*map(str, range(9)), "b")


def test_a_table_without_header_may_have_text() -> None:
    """Its columns have no names, and are called by their numbers."""
    rows = "\n".join(f"{'mf'[i % 2]},{i % 5},{i % 3 or ''},{i % 2}" for i in range(60))
    Path("t.csv").write_text(rows)
    data = load("t.csv", environment={})
    assert data.features == ()
    assert [column.name for column in data.columns] == ["column 1", "column 2", "column 3"]


def test_a_table_with_decimal_commas_may_have_text() -> None:
    """Cells of text leave the decimal mark of the numbers as it is."""
    rows = "\n".join(f"{i % 7},{i % 10};{'mf'[i % 2]};{i % 5};{i % 2}" for i in range(60))
    Path("t.csv").write_text(f"size;sex;n;y\n{rows}\n")
    data = load("t.csv", environment={})
    assert [column.kind for column in data.columns] == ["number", "category", "number"]
    assert data.inputs[:3, 0].tolist() == [0.0, 1.1, 2.2]
