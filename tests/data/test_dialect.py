"""Headers, first lines and delimiters of tables in text."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.data.csv_table import read_csv
from hpsearch.data.dataset import Dataset, RawData
from hpsearch.data.dialect import find_dialect
from hpsearch.data.sources import load
from hpsearch.data.table import TableReading
from hpsearch.errors import DataError
from hpsearch.study.spec import HeaderUse

Refused = Callable[[Callable[[], object]], str]
WriteText = Callable[[str], Path]


def fractions(count: int = 40, width: int = 3) -> list[list[str]]:
    """Return rows of fractions and a class."""
    generator = random.Random(4)
    return [[*(f"{generator.gauss(0, 1):.4f}" for _ in range(width)), str(i % 2)] for i in range(count)]


def text(rows: Sequence[Sequence[str]], *, header: str = "", delimiter: str = ",", end: str = "") -> str:
    """Return the rows as lines below `header`."""
    return "\n".join([*([header] if header else []), *(delimiter.join(row) + end for row in rows), ""])


def loaded(path: Path, **options: Any) -> Dataset:
    """Return the data set in `path`."""
    return load(str(path), environment={}, **options)


@pytest.mark.parametrize(
    ("header", "features"),
    [
        ("0,1,2,3", ("0", "1", "2")),
        ("1,2,3,4", ("1", "2", "3")),
        ("2019,2020,2021,2022", ("2019", "2020", "2021")),
        ("1990,1995,2003,2010", ("1990", "1995", "2003")),
        ("400.5,402.0,403.5,y", ("400.5", "402.0", "403.5")),
        ("0,1,2,kind", ("0", "1", "2")),
    ],
)
def test_a_header_of_numbers_is_no_example(
    header: str, features: tuple[str, ...], write_csv: WriteText
) -> None:
    """Numbers of columns, years and wavelengths are names if the rows below are of another kind, and a note says so."""
    data = loaded(write_csv(text(fractions(), header=header)))
    assert (len(data.inputs), data.features, data.classes) == (40, features, ("0", "1"))
    if "y" not in header and "kind" not in header:
        (note,) = data.notes
        assert note.startswith("data.header: line 1 was read as a header of numbers (")


def test_a_header_of_numbers_above_text_is_no_class(write_csv: WriteText) -> None:
    """The name of a target of text does not become a class, and the column of row numbers without a name is dropped."""
    rows = [[str(i), *row[:-1], "abc"[i % 3]] for i, row in enumerate(fractions())]
    for header in (",0,1,2,species", ",0,1,2,3"):
        data = loaded(write_csv(text(rows, header=header)))
        assert (data.classes, data.inputs.shape) == (("a", "b", "c"), (40, 3))


def test_pandas_numbers_above_whole_numbers_are_a_header(write_csv: WriteText) -> None:
    """Four or more columns from 0 are names if no other row counts like that."""
    generator = random.Random(1)
    rows = [[str(generator.randint(0, 9)) for _ in range(5)] for _ in range(30)]
    assert len(loaded(write_csv(text(rows, header="0,1,2,3,4"))).inputs) == 30
    counting = [[str(i + j) for j in range(4)] for i in range(30)]
    assert len(loaded(write_csv(text(counting)), task="regression").inputs) == 30


@pytest.mark.parametrize("first", ["0.5,1.5,2.5,1", "0,0,0,1", "3,1,2,0"])
def test_numbers_that_are_no_names_are_an_example(first: str, write_csv: WriteText) -> None:
    """A first row of the same kind as the others, or in no order, is an example."""
    assert len(loaded(write_csv(text(fractions(), header=first))).inputs) == 41


def test_the_study_decides_about_the_header(write_csv: WriteText) -> None:
    """`data.header` overrides what was found, and "text" is the rule of versions without the key."""
    path = write_csv(text(fractions(), header="0,1,2,1"))
    rows = {
        header: len(loaded(path, reading=TableReading(header=header)).inputs)
        for header in ("yes", "no", "text")
    }
    assert rows == {"yes": 40, "no": 41, "text": 41}


def test_a_table_of_text_and_numbers_may_have_no_header(write_csv: WriteText) -> None:
    """A first row with a number above numbers, and text above text, is an example."""
    path = write_csv(text([["mf"[i % 2], str(i % 7), row[0], row[3]] for i, row in enumerate(fractions())]))
    data = loaded(path)
    assert (len(data.inputs), data.features) == (40, ())
    assert data.columns[0].categories == ("f", "m")


PLAIN = text(fractions(), header="a,b,c,y")


def _same(raw: RawData | Dataset, other: RawData | Dataset) -> bool:
    return raw.inputs.tolist() == other.inputs.tolist() and raw.features == other.features


@pytest.mark.parametrize(
    "changed",
    [
        text(fractions(), header="a,b,c,y,"),
        text(fractions(), header="a,b,c,y,", end=","),
        text(fractions(), header="a,b,c,y", end=","),
        text(fractions(), header="sep=;\na;b;c;y", delimiter=";"),
        text(fractions(), header="\ufeffsep=\t\na\tb\tc\ty", delimiter="\t"),
        text(fractions(), header="# station 4, March\na,b,c,y"),
        text(fractions(), header="# a\n#\n% b, c\n\na,b,c,y"),
        text(fractions(), header="# a,b,c,y"),
        text(fractions(), header="Report March\na,b,c,y"),
        text(fractions(), header="Report March;;;\n;;;\na;b;c;y", delimiter=";"),
        text(fractions(), header="a|b|c|y", delimiter="|"),
        "".join(f"| {line.replace(',', ' | ')} |\n" for line in PLAIN.splitlines()),
        text(fractions(), header="a b c y", delimiter="   "),
        PLAIN + ",,,\n,,,\n",
    ],
)
def test_first_lines_and_ends_of_lines_are_understood(changed: str, write_csv: WriteText) -> None:
    """Trailing delimiters, `sep=`, comments, titles, bars and empty rows leave the same table."""
    plain = loaded(write_csv(PLAIN))
    assert plain.features == ("a", "b", "c")
    assert not plain.notes
    assert _same(loaded(write_csv(changed)), plain)


def test_a_title_is_noted(write_csv: WriteText) -> None:
    """A line that was skipped as a title is named."""
    assert loaded(write_csv(f"Report March\n{PLAIN}")).notes == (
        'data: line 1 was skipped, which is no part of the table (got "Report March")',
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "\n\n<!DOCTYPE html>\n<html><body>Sign in</body></html>\n",
            (
                'line 3: must be a table in text (got a web page, "<!DOCTYPE html>"):'
                " download the file itself, not the page that leads to it"
            ),
        ),
        ('[{"a": 1}]\n', 'line 1: must be a table in text (got JSON, "[{"a": 1}]"): convert it to CSV'),
        (
            f"Report, March\n{PLAIN}",
            (
                "line 1: the first line must have as many cells as the others (got 2,"
                ' "Report, March", and 4 in the lines after it): remove the line, or correct it;'
                " quote cells that contain the delimiter"
            ),
        ),
        ("# a\n# b\n", "a table must hold at least one row (got 2 lines of comments): give it data"),
    ],
)
def test_a_first_line_that_is_no_table_is_named(
    content: str, message: str, write_csv: WriteText, refused: Refused
) -> None:
    """A web page, JSON, and a line of another width are refused by the line, with a way out."""
    path = write_csv(content)
    assert refused(lambda: read_csv(path, target=None)) == f"{path}: {message}"


def test_files_of_another_kind_are_named(tmp_path: Path, refused: Refused) -> None:
    """A workbook and UTF-16 are known by their first bytes."""
    path = tmp_path / "t.csv"
    path.write_bytes(b"PK\x03\x04....")
    assert refused(lambda: loaded(path)) == (
        f"{path}: must be a table in text (got a zip file, such as a workbook of Excel): export it as CSV"
    )
    path.write_bytes(PLAIN.encode("utf-16"))
    assert (
        refused(lambda: loaded(path))
        == f"{path}: must be a table in text (got text in UTF-16): save it as UTF-8"
    )


def test_names_of_rows_of_r_are_no_input(write_csv: WriteText, refused: Refused) -> None:
    """A header that is one cell short names no rows; but rows that numbers with commas tore apart are no such table."""
    rows = [[f'"{i + 1}"', *row] for i, row in enumerate(fractions())]
    assert loaded(write_csv(text(rows, header="a b c y", delimiter=" "))).inputs.shape == (40, 3)
    torn = [[str(50 + i), "200", "000"] for i in range(40)]
    assert "line 1: the first line must have" in refused(
        lambda: loaded(write_csv(text(torn, header="size,price")))
    )


@pytest.mark.parametrize("header", ["", "co;t;rh;no2"])
@pytest.mark.parametrize("delimiter", [";", "\t", "|", " "])
def test_decimal_commas_are_read(header: str, delimiter: str, write_csv: WriteText) -> None:
    """With another delimiter than the comma, cells with decimal commas are numbers, with and without a header."""
    rows = [[cell.replace(".", ",") for cell in (*row[:3], f"{i / 8}")] for i, row in enumerate(fractions())]
    data = loaded(write_csv(text(rows, header=header.replace(";", delimiter), delimiter=delimiter)))
    assert data.task == "regression"
    assert data.inputs.tolist() == [[float(cell) for cell in row[:3]] for row in fractions()]
    assert data.targets[:, 0].tolist() == [i / 8 for i in range(40)]


def test_a_decimal_comma_may_come_late(write_csv: WriteText) -> None:
    """A decimal comma below thousands of whole numbers is read as one."""
    rows = [[str(i % 7), str(i % 5), str(i % 2)] for i in range(3000)]
    data = loaded(write_csv(text([*rows, ["1,5", "2", "1"]], header="a;b;y", delimiter=";")))
    assert data.inputs[-1].tolist() == [1.5, 2.0]


def test_thousands_in_a_table_with_decimal_commas(write_csv: WriteText, refused: Refused) -> None:
    """`1.234,5` is a number there; `1.234` alone is not, and two decimal marks in one column are not either."""
    rows = [["1.234,5", "0,5", "1"], ["2", "1,5", "0"]] * 3
    assert loaded(write_csv(text(rows, header="a;b;y", delimiter=";"))).inputs[0].tolist() == [1234.5, 0.5]
    path = write_csv(text([*rows, ["1.234", "2.5", "1"]], header="a;b;y", delimiter=";"))
    assert refused(lambda: loaded(path)) == (
        f"{path}: 2 problems\n"
        '  line 8, column "a": numbers must not have thousands separators alone in a table with decimal commas'
        ' (got "1.234"): write 1234, or 1,234\n'
        '  line 8, column "b": a column must have one decimal mark (got "2.5", and "0,5" in line 2): write one of them'
    )


@pytest.mark.parametrize(
    ("cell", "plain"),
    [("$200,000", "200000"), ("12%", "12"), ("1_000", "1000"), ("1 000", "1000"), ("3 €", "3")],
)
def test_inputs_in_another_notation_are_refused(
    cell: str, plain: str, write_csv: WriteText, refused: Refused
) -> None:
    """Currencies, percent and separators of thousands are named, with the number to write; `1_000` is no number."""
    path = write_csv(text([["2", f'"{cell}"', "1"], ["3", "4", "0"]] * 3, header="a,b,y"))
    assert refused(lambda: loaded(path)) == (
        f'{path}: line 2, column "b": inputs must be numbers in digits (got "{cell}"; 3 such in all):'
        f' write {plain}, or leave it out with data.drop = ["b"]'
    )


def test_the_line_in_latin_1_is_named(tmp_path: Path, refused: Refused) -> None:
    """Of text that is not UTF-8, the first such line is named and shown."""
    path = tmp_path / "t.csv"
    path.write_bytes((PLAIN + "1,2,3,größe\n").encode("latin-1"))
    assert refused(lambda: loaded(path)) == (
        f'{path}: line 42: must be text in UTF-8 (got the byte 0xf6, "1,2,3,größe" in Latin-1): save it as UTF-8'
    )


def test_a_first_line_that_may_be_a_header_is_noted(write_csv: WriteText) -> None:
    """If nothing proves that 0, 1, ... are names, they are an example as ever, and a note tells how to change that."""
    generator = random.Random(1)
    rows = [[str(generator.randint(3, 9)), str(generator.randint(3, 9)), str(i % 2)] for i in range(30)]
    data = loaded(write_csv(text(rows, header="0,1,2")))
    assert len(data.inputs) == 31
    assert data.notes[0] == (
        'data.header: line 1 was read as an example (0, 1, 2): if it is a header, set data.header = "yes"'
    )


@given(
    st.lists(st.text(alphabet='012,;\t| #%ab."-_$', max_size=12), max_size=14),
    st.sampled_from(["auto", "yes", "no", "text"]),
)
def test_any_text_has_a_dialect_or_is_refused(lines: list[str], header: HeaderUse) -> None:
    """Whatever the first lines are, the answer is a dialect or an error for the user."""
    try:
        dialect = find_dialect([f"{line}\n" for line in lines], Path("t.csv"), header)
    except DataError:
        return
    assert dialect.names is None or len(dialect.names) == dialect.width


def test_a_header_in_a_comment_is_the_header(write_csv: WriteText) -> None:
    """A study that asks for a header has that of a comment, and no example is lost."""
    headers: list[HeaderUse] = ["yes", "auto"]
    for header in headers:
        data = loaded(
            write_csv(text(fractions(), header="# a,b,c,y")),
            reading=TableReading(header=header),
        )
        assert (len(data.inputs), data.features) == (40, ("a", "b", "c"))


def test_spaces_inside_cells_delimit_none(write_csv: WriteText) -> None:
    """A first column of measures leaves the delimiter that cuts header and rows alike."""
    path = write_csv("x,a,y\n" + "".join(f"{i % 3}.5 km,{i},{'uv'[i % 2]}\n" for i in range(40)))
    dialect = find_dialect(path.read_text().splitlines(), path, "auto")
    assert (dialect.delimiter, dialect.skipped, dialect.names) == (",", 0, ("x", "a", "y"))
