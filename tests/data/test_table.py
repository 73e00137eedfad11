"""The columns of tables: numbers of rows, identifiers, constants, and all problems at once."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpsearch.data.dataset import Dataset
from hpsearch.data.prepare import prepare
from hpsearch.data.sources import load
from hpsearch.data.table import TableReading
from hpsearch.study.spec import ColumnRule, DataSpec

Refused = Callable[[Callable[[], object]], str]
WriteText = Callable[[str], Path]


def table(header: str, row: Callable[[int], str], count: int = 60) -> str:
    """Return a table in text with `count` rows."""
    return "\n".join([header, *map(row, range(count)), ""])


def loaded(path: Path, **options: Any) -> Dataset:
    """Return the data set in `path`."""
    return load(str(path), environment={}, **options)


NUMBERS = TableReading(types="numbers")
NUMBER = random.Random(2).gauss


@pytest.mark.parametrize("name", ["", "Unnamed: 0"])
@pytest.mark.parametrize("index", [lambda i: i, lambda i: i * 37 % 101, lambda i: f"car {i}"])
def test_row_numbers_without_a_name_are_no_input(
    name: str, index: Callable[[int], object], write_csv: WriteText
) -> None:
    """Numbers in order or shuffled, and names of rows, are left out with a note, unless data.drop is empty."""
    path = write_csv(table(f"{name},a,b,answer", lambda i: f"{index(i)},{NUMBER(0, 1)},{i % 7},{i % 2}"))
    data = loaded(path)
    assert data.features == ("a", "b")
    (note,) = data.notes
    assert note.startswith('data.drop: column "Unnamed: 0" has no name and n')
    assert note.endswith(" the rows, so it is no input: data.drop = [] keeps it")
    if index(1) == 1:
        kept = loaded(path, reading=TableReading(drop=()))
        assert kept.features == ("Unnamed: 0", "a", "b")
        assert kept.inputs[:, 0].tolist() == list(range(60))


def test_other_columns_without_a_name_are_inputs(write_csv: WriteText) -> None:
    """A column without a name whose numbers repeat, or are fractions, is an input, with a note."""
    data = loaded(write_csv(table(",a,y", lambda i: f"{i / 8},{i % 7},{i % 2}")))
    assert data.features == ("Unnamed: 0", "a")
    assert data.notes == (
        (
            'data.drop: column "Unnamed: 0" has no name: if it only names the examples, leave it out with'
            ' data.drop = ["Unnamed: 0"]'
        ),
    )


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("nr", lambda i: i + 1, "counts the rows, from 1 to 60"),
        (
            "passenger_id",
            lambda i: i * 7919 % 100_003,
            "looks like an identifier, with 60 different numbers in 60 rows",
        ),
        (
            "customerId",
            lambda i: i * 7919 % 100_003,
            "looks like an identifier, with 60 different numbers in 60 rows",
        ),
        ("price", lambda i: i * 7919 % 100_003, ""),
        ("width", lambda i: i % 30, ""),
    ],
)
def test_identifiers_are_warned_of(
    name: str, value: Callable[[int], int], reason: str, write_csv: WriteText
) -> None:
    """A named column stays an input of numbers; if it counts the rows or looks like an identifier, a note says so."""
    path = write_csv(table(f"{name},a,y", lambda i: f"{value(i)},{i % 7},{i % 2}"))
    data = loaded(path, reading=NUMBERS)
    assert data.features == (name, "a")
    remedy = f'if it only names the examples, leave it out with data.drop = ["{name}"]'
    expected = f'data.drop: column "{name}" {reason}: {remedy}'
    assert data.notes == ((expected,) if reason else ())


def test_an_identifier_that_counts_the_rows_is_no_input(write_csv: WriteText) -> None:
    """It is left out with a note, unless the study keeps it or there is no other input."""
    path = write_csv(table("order_id,a,y", lambda i: f"{i + 1},{i % 7},{i % 2}"))
    data = loaded(path)
    assert data.features == ("a",)
    assert data.notes == (
        (
            'data.columns: column "order_id" counts the rows, from 1 to 60, so it is no input:'
            ' order_id = "number" under [data.columns] keeps it'
        ),
    )
    kept = TableReading(columns=(ColumnRule(name="order_id", kind="number"),))
    assert loaded(path, reading=kept).features == ("order_id", "a")
    assert loaded(path, reading=TableReading(drop=("a",))).features == ("order_id",)


def test_dropped_columns_are_not_read(write_csv: WriteText, refused: Refused) -> None:
    """Columns in data.drop may hold anything; a name that no column has is refused, and the target's too."""
    path = write_csv(table("id,a,name,y", lambda i: f"{i},{i % 7},n{i},{i % 2}"))
    assert loaded(path, reading=TableReading(drop=("id", "name"))).features == ("a",)
    assert loaded(path, reading=TableReading(drop=("y", "name"))).features == ("id",)
    assert refused(lambda: loaded(path, reading=TableReading(drop=("nam",)))) == (
        f'{path}: data.drop must name columns (got "nam", of which there are 0): did you mean "name"?'
    )
    assert "data.drop must leave the target" in refused(
        lambda: loaded(path, target="a", reading=TableReading(drop=("a",)))
    )
    assert refused(lambda: load("iris", reading=TableReading(drop=("x",)), environment={})) == (
        'data.drop: only columns of tables have names (got "x" for iris): leave it out'
    )


def test_all_problems_are_reported_at_once(write_csv: WriteText, refused: Refused) -> None:
    """With types = "numbers", text, missing numbers, constants, short rows and bad targets come in one error."""

    def row(i: int) -> str:
        age = "" if i % 9 == 8 else 20 + i
        cabin = f"C{i}" if i % 3 == 2 else ""
        return f"{'mf'[i % 2]}ale,{age},{bool(i % 3)},{cabin},5,{i % 2 or '?'}"

    path = write_csv(table("sex,age,alone,cabin,year,survived", row) + "1,2,3\n")
    assert refused(lambda: loaded(path, reading=NUMBERS)) == (
        f"{path}: 7 problems\n"
        "  line 62: every row must have 6 cells, as the first has (got 3): correct the row\n"
        '  line 2, column "sex": inputs must be numbers (got "male"; 60 such in all): encode the column as numbers,'
        ' or leave it out with data.drop = ["sex"]\n'
        '  line 10, column "age": a number is missing (got ""; 6 such in all): fill it, or drop the row,'
        ' or leave it out with data.drop = ["age"]\n'
        '  line 2, column "alone": inputs must be numbers (got "False"; 60 such in all):'
        ' write 1 for true and 0 for false, or leave it out with data.drop = ["alone"]\n'
        '  line 4, column "cabin": inputs must be numbers (got "C2"; 20 such in all, and 40 missing):'
        ' encode the column as numbers, or leave it out with data.drop = ["cabin"]\n'
        '  line 2, column "survived": a target is missing (got "?"; 30 such in all): fill it, or drop the row\n'
        '  column "year": an input must differ between rows to teach something (got the same number in all 60 rows):'
        ' leave it out with data.drop = ["year"]'
    )


def test_targets_are_judged_next_to_bad_inputs(write_csv: WriteText, refused: Refused) -> None:
    """A target in another notation is reported together with an input in one."""
    path = write_csv(table("a,b,y", lambda i: f"{i % 7},${i},{i % 9}%"))
    first, second, third = refused(lambda: loaded(path)).splitlines()
    assert first == f"{path}: 2 problems"
    assert 'column "b": inputs must be numbers in digits (got "$0"; 60 such in all): write 0' in second
    assert third.startswith('  column "y": targets that are numbers must be written in digits')


@pytest.mark.parametrize(
    "mark", ["", "NA", "N/A", "null", "NULL", "?", "nan", "None", "#N/A", "<NA>", "-nan"]
)
def test_the_marks_of_pandas_are_missing(mark: str, write_csv: WriteText, refused: Refused) -> None:
    """Every mark that pandas takes for a missing value is one, among numbers and in targets (except "None")."""
    path = write_csv(table("a,b,y", lambda i: f"{mark if i == 3 else i % 7},{i % 5},{i % 2}"))
    assert np.isnan(loaded(path).inputs).tolist() == [[i == 3, False] for i in range(60)]
    assert refused(lambda: loaded(path, reading=NUMBERS)) == (
        f'{path}: line 5, column "a": a number is missing (got "{mark}"): fill it, or drop the row'
    )
    path = write_csv(table("a,b,y", lambda i: f"{i % 7},{i % 5},{mark if i == 3 else 'xy'[i % 2]}"))
    if mark != "None":
        assert 'line 5, column "y": a target is missing' in refused(lambda: loaded(path))


def test_constant_columns_are_warned_of(write_csv: WriteText) -> None:
    """A constant input stays; a note names it, and one note names many."""
    data = loaded(write_csv(table("a,b,y", lambda i: f"7,{i % 5},{i % 2}")))
    assert data.inputs.shape == (60, 2)
    assert data.notes == (
        (
            'column "a": an input must differ between rows to teach something (got the same number in all 60 rows):'
            ' leave it out with data.drop = ["a"]'
        ),
    )
    (note,) = loaded(write_csv(table("a,b,c,d,e,f,g,y", lambda i: f"7,7,7,7,7,7,{i % 5},{i % 2}"))).notes
    assert note.startswith('6 columns, such as "a", "b", "c", "d", "e": an input must differ')


def test_what_was_read_before_is_read_to_the_same_numbers() -> None:
    """Fingerprints of bundled sources and plain tables are those of the first version, so studies of it go on."""
    rows = [f"{i * 7 % 11 / 4},{i * i % 13},{'abc'[i % 3]}" for i in range(60)]
    Path("plain.csv").write_text("size,age,kind\n" + "\n".join(rows) + "\n", encoding="utf-8")
    spaces = "\n".join(row.rsplit(",", 1)[0].replace(",", " ") for row in rows)
    Path("spaces.data").write_text(f"{spaces}\n", encoding="utf-8")
    stored = {
        "iris": "edd3034afa0cce7d2018c46e85039601",
        "digits": "6156b146c7f694767e8807acea54b76c",
        "wine": "72c3fc8b4bc8058bf2ede3ecdb28d295",
        "breast_cancer": "15287fe7924286e27dfa881e4aa49807",
        "diabetes": "f0669c674eb3aa3130312739193ddb1d",
        "plain.csv": "42330148fd16ee66bd913214e0b8910d",
        "spaces.data": "40d602ede810d0f3f7685777f1ed5932",
    }
    for source, fingerprint in stored.items():
        spec = DataSpec(source=source, target_scale="none")  # as stored studies have it
        data = prepare(spec, seed=3, precision="float32", environment={})
        assert data.fingerprint == fingerprint, source


def test_a_few_texts_among_numbers_are_mistakes_of_their_rows(write_csv: WriteText, refused: Refused) -> None:
    """Units, totals and a second header do not make a column one of text: the remedy is in the row."""
    path = write_csv(table("a,b,y", lambda i: f"{i % 7},{i % 5},{i % 2}") + "Total,,\n")
    assert refused(lambda: loaded(path)) == (
        f"{path}: 2 problems\n"
        '  line 62, column "a": inputs must be numbers (got "Total"): correct it, or drop the row\n'
        '  line 62, column "y": a target is missing (got ""): fill it, or drop the row'
    )
